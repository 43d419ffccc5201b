"""Whole objects in S3: requests, keys, time limits, credentials, forks."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import boto3
import pytest

from bench.counting_proxy import Answer, Call, CountingProxy
from local.emulators import REGION
from tasks.objects import Bucket, StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.stack

BIG_BYTES = 20_000_000


@pytest.fixture
def opened(bucket: str, proxy: CountingProxy) -> Bucket:
    """The bucket, by way of the proxy."""
    return Bucket(bucket, region=REGION, endpoint_url=proxy.url)


def test_every_operation_is_one_request(opened: Bucket, proxy: CountingProxy) -> None:
    """Writing, even 20 MB, reading, asking and deleting cost one request each."""
    opened.put("big", bytes(BIG_BYTES))
    assert opened.exists("big")
    stored = opened.get("big")
    opened.delete("big")
    assert proxy.take() == ["PUT", "HEAD", "GET", "DELETE"]
    assert stored is not None
    assert len(stored.data) == BIG_BYTES


def test_what_is_not_there_is_no_error(opened: Bucket) -> None:
    """Reading gives None, asking gives no, deleting does nothing."""
    assert opened.get("nothing") is None
    assert not opened.exists("nothing")
    opened.delete("nothing")


def test_create_and_replace_are_conditional(opened: Bucket) -> None:
    """Of two creators one wins; a replacement needs the version that it was made from."""
    assert opened.create("k", b"1")
    assert not opened.create("k", b"2")
    first = opened.get("k")
    assert first is not None
    assert opened.replace("k", b"3", first.e_tag)
    assert not opened.replace("k", b"4", first.e_tag)
    assert not opened.replace("nothing", b"5", first.e_tag)
    last = opened.get("k")
    assert last is not None
    assert last.data == b"3"


@pytest.mark.parametrize("key", ["a b", "é/日本", "100%", "%41", "x?y#z&a=b+c", "~'\"^`{}*[]|\\"])
def test_a_key_is_kept_as_it_is(opened: Bucket, s3: S3Client, bucket: str, key: str) -> None:
    """Other programs find an object under the key that it was given."""
    opened.put(key, b"1")
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert opened.exists(key)


@pytest.mark.parametrize("key", ["", "/", "/a", "a/", "a//b", "a/../b", ".", "a\nb", "\x7f"])
def test_a_key_that_would_be_changed_is_refused(opened: Bucket, proxy: CountingProxy, key: str) -> None:
    """A key that obstore cannot send as it is never reaches S3 as another one; nothing is there under it."""
    with pytest.raises(ValueError, match="cannot be a key"):
        opened.put(key, b"1")
    assert opened.get(key) is None
    assert not opened.exists(key)
    opened.delete(key)
    assert proxy.calls == []


@pytest.mark.parametrize("value", ["é", "image/png\r\nx: y"])
def test_an_attribute_that_http_cannot_carry_is_refused(opened: Bucket, value: str) -> None:
    """It is an ordinary error, not the panic that obstore would raise past every handler."""
    with pytest.raises(ValueError, match="printable ASCII"):
        opened.put("k", b"1", {"Content-Type": value})


def test_a_silent_s3_is_given_up_in_time(bucket: str, proxy: CountingProxy) -> None:
    """A request that gets no answer ends after its time limit."""
    silence = threading.Event()

    def silently(_call: Call) -> Answer:
        silence.wait(60)
        return Answer(503)

    proxy.instead = silently
    slow = Bucket(bucket, region=REGION, endpoint_url=proxy.url, request_timeout=timedelta(seconds=0.3))
    start_s = time.monotonic()
    with pytest.raises(StoreUnavailable):
        slow.put("k", b"1")
    assert 0.3 <= time.monotonic() - start_s < 30
    silence.set()


def test_an_endpoint_that_is_given_wins(
    bucket: str, proxy: CountingProxy, s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The argument counts, not AWS_ENDPOINT_URL_S3, which obstore reads by itself."""
    assert s3
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    Bucket(bucket, region=REGION, endpoint_url=proxy.url).put("k", b"1")
    assert proxy.take() == ["PUT"]


def test_requests_release_the_interpreter_lock(opened: Bucket, proxy: CountingProxy) -> None:
    """While one thread waits for S3, another computes as fast as if it were alone."""
    pause_s = 0.3

    def slowly(_call: Call) -> Answer:
        time.sleep(pause_s)
        return Answer.s3_error(404, "NoSuchKey")

    proxy.instead = slowly
    count, stop = 0, threading.Event()

    def compute() -> None:
        nonlocal count
        while not stop.is_set():
            count += 1

    thread = threading.Thread(target=compute)
    thread.start()
    time.sleep(pause_s)
    alone = count
    opened.get("k")
    beside = count - alone
    stop.set()
    thread.join()
    assert beside > alone / 3


def test_no_credentials_is_a_store_that_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is the one that callers handle, and says what is missing."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with pytest.raises(StoreUnavailable, match="credentials"):
        Bucket("b", region=REGION, endpoint_url="")


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_told_instead_of_hanging(opened: Bucket) -> None:
    """Where obstore would wait for ever for threads that the fork left behind, there is an error that names the cure."""
    opened.put("k", b"1")
    child = os.fork()
    if child == 0:
        try:
            opened.get("k")
        except RuntimeError as error:
            os._exit(0 if "threads pool" in str(error) else 2)
        os._exit(1)
    deadline_s = time.monotonic() + 20
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
