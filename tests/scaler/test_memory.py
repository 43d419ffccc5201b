"""What the scaler remembers outlives it, and damage to it costs time alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.memory import MEMORY_KEY, Intent, Memory, MemoryStore, from_json, to_json
from scaler.state import History
from tasks.objects import Bucket

FLOATS = st.floats(min_value=0, max_value=1e12)
IDS = st.text("0123456789abcdef", min_size=1, max_size=17).map("i-{}".format)
HISTORIES = st.builds(
    History,
    candidates=st.dictionaries(IDS, FLOATS),
    surplus_ticks=st.integers(0, 1000),
    slots=st.none() | st.integers(1, 1000),
    task_s=st.none() | FLOATS,
    tallies=st.dictionaries(IDS, st.tuples(st.integers(0, 10**9), FLOATS)),
    boots_s=st.lists(FLOATS, max_size=20).map(tuple),
    launch_failures=st.integers(0, 100),
    lowered_cap=st.none() | st.integers(0, 100),
    stopped=st.text(),
    stopped_until_s=FLOATS,
)
MEMORIES = st.builds(
    Memory,
    history=HISTORIES,
    launched=st.dictionaries(IDS, FLOATS),
    intent=st.none() | st.builds(Intent, token=st.text(), count=st.integers(1, 100), at_s=FLOATS),
)


@given(MEMORIES)
def test_it_is_read_as_it_was_written(memory: Memory) -> None:
    """Nothing is lost on the way."""
    assert from_json(to_json(memory)) == memory


@pytest.mark.parametrize(
    "learned",
    [
        pytest.param(b'{"task_s": 2.0}', id="of before there were slots"),
        pytest.param(b'{"task_s": 2.0, "of_a_later_release": 3}', id="of a release that was rolled back"),
    ],
)
def test_another_releases_memory_is_read(learned: bytes) -> None:
    """What it does not tell is not known, and what is not understood is left out."""
    history = from_json(b'{"version": 1, "history": ' + learned + b"}").history
    assert history == History(slots=None, task_s=2.0)


@pytest.mark.stack
def test_a_new_scaler_starts_without_any(bucket: Bucket) -> None:
    """No memory is an empty one."""
    assert MemoryStore(bucket).load(0.0) == Memory()


@pytest.mark.stack
def test_another_process_reads_what_one_has_saved(bucket: Bucket) -> None:
    """A successor knows what was learned and launched."""
    memory = Memory(History(task_s=1.5), {"i-1": 5.0}, Intent("token", 2, 4.0))
    MemoryStore(bucket).save(memory)
    assert MemoryStore(bucket).load(0.0) == memory


@pytest.mark.stack
@pytest.mark.parametrize("data", [b"no JSON", b"[]", b'{"version": 99}', b'{"version": 1, "launched": 3}'])
def test_a_memory_that_cannot_be_read_is_put_aside(
    bucket: Bucket, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The scaler starts anew, says so, and what was there is kept for a person."""
    bucket.put(MEMORY_KEY, data)
    assert MemoryStore(bucket).load(1234.0) == Memory()
    aside = bucket.get("_scaler/memory-unreadable-1234.json")
    assert aside is not None
    assert aside.data == data
    assert "put aside" in caplog.text
