"""The agent's view of the metadata service, against the one that emulated instances have."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

import pytest
import urllib3

from local.metadata import REBALANCE, SPOT, MetadataServer, post_notice
from local.ports import free_port
from tasks.node.imds import INSTANCE_ID_PATH, TOKEN_PATH, Metadata, MetadataError

NODE = "i-0123456789abcdef0"


@pytest.fixture
def server() -> Iterator[MetadataServer]:
    """A metadata service."""
    made = MetadataServer(0)
    with made.running():
        yield made


def test_an_instance_learns_its_id(server: MetadataServer) -> None:
    """Each instance has a base URL of its own."""
    assert Metadata(server.base_url(NODE)).instance_id() == NODE


@pytest.mark.parametrize(
    ("kind", "words"), [(SPOT, 'spot interruption: {"action": "terminate", "time": "'), (REBALANCE, "rebalance rec")]
)
def test_a_notice_is_seen_by_the_instance_it_is_for(server: MetadataServer, kind: str, words: str) -> None:
    """Before there is one, and for others, there is none."""
    metadata, other = Metadata(server.base_url(NODE)), Metadata(server.base_url("i-2"))
    assert metadata.notice() == ""
    post_notice(server.url, kind, NODE)
    assert metadata.notice().startswith(words)
    assert other.notice() == ""


def test_questions_without_a_token_are_refused(server: MetadataServer) -> None:
    """It is IMDSv2: no token, no answer; and a token needs a lifetime."""
    base_url = server.base_url(NODE)
    assert urllib3.request("GET", base_url + INSTANCE_ID_PATH).status == HTTPStatus.UNAUTHORIZED
    assert urllib3.request("PUT", base_url + TOKEN_PATH).status == HTTPStatus.BAD_REQUEST


def test_a_token_that_has_run_out_is_replaced(server: MetadataServer) -> None:
    """The agent outlives its tokens."""
    metadata = Metadata(server.base_url(NODE))
    metadata.instance_id()
    server.expire_tokens()
    assert metadata.instance_id() == NODE


def test_a_service_that_is_not_there_announces_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and the node goes on; a node without an id cannot."""
    metadata = Metadata(f"http://127.0.0.1:{free_port()}")
    assert metadata.notice() == metadata.notice() == ""
    assert len(caplog.records) == 1
    with pytest.raises(MetadataError, match="does not answer"):
        metadata.instance_id()


def test_a_notice_for_nobody_is_an_error(server: MetadataServer) -> None:
    """Whoever mistypes an id is told."""
    with pytest.raises(RuntimeError, match="no such instance"):
        post_notice(server.url, SPOT, "i-0")
