"""How many answers are waited for: never fewer than there are, and no more than the nodes say there will be."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import islice

import pytest

from scaler.heard import Heard


def answers(**workers: int) -> Mapping[str, Mapping[str, int]]:
    """The answers of all workers of nodes, one of each by its name."""
    return {f"w{number}@{node}": {"workers": count} for node, count in workers.items() for number in range(count)}


def heard(*rounds: Mapping[str, Mapping[str, int]], nodes: str = "ab") -> Heard:
    """What is known after some rounds of answers."""
    known = Heard()
    for said in rounds:
        known = known.after(said, set(nodes))
    return known


PART = {"w0@a": {"workers": 4}}


@pytest.mark.parametrize(
    ("known", "nodes", "limit"),
    [
        pytest.param(Heard(), "a", None, id="nobody was heard"),
        pytest.param(heard(answers(a=2)), "a", 2, id="all have answered"),
        pytest.param(heard(PART), "a", 4, id="one of four"),
        pytest.param(heard(answers(a=2), {}), "a", 2, id="silent now"),
        pytest.param(heard(answers(a=2)), "ab", None, id="another one joins"),
        pytest.param(heard(answers(a=2, b=4)), "ab", 6, id="nodes of two sizes"),
        pytest.param(heard(answers(a=2, b=4)), "a", 6, id="one stops, and may answer still"),
        pytest.param(heard(answers(a=2, b=4), answers(a=2), nodes="a"), "a", 2, id="one has stopped"),
        pytest.param(heard(answers(a=2, elsewhere=1)), "a", 3, id="a worker on no node"),
        pytest.param(heard({"w0@a": {"workers": 1}, "w1@a": {"workers": 1}}), "a", 2, id="more than it says"),
        pytest.param(heard({"w0@a": {"error": 1}}), "a", None, id="an answer that does not say"),
        pytest.param(Heard().after({"w0@a": None}, {"a"}), "a", None, id="an answer that is none"),
        pytest.param(heard(answers(a=2), {"w0@a": {"error": 1}}), "a", 2, id="it has said so before"),
    ],
)
def test_how_many_answers_are_waited_for(known: Heard, nodes: str, limit: int | None) -> None:
    """As many as the nodes have workers, whether or not those have answered; unbounded while that is not known."""
    assert known.limit(set(nodes)) == limit


@pytest.mark.parametrize(("nodes", "workers"), [(1, 2), (10, 4)])
def test_no_report_is_cut_off_while_nodes_join(nodes: int, workers: int) -> None:
    """Whichever workers answer first, a tick has the answers of all that there are, and later ones wait for no others."""
    rng = random.Random(f"{nodes} x {workers}")  # noqa: S311 - of a test
    everyone = list(answers(**{f"n{number}": workers for number in range(nodes)}).items())
    wanted, known = {f"n{number}" for number in range(nodes)}, Heard()
    up = 0
    while up < len(everyone):
        up = min(len(everyone), up + rng.randint(0, workers))
        there = rng.sample(everyone[:up], up)
        got = dict(islice(there, known.limit(wanted)))
        assert len(got) == up
        known = known.after(got, wanted)
    assert known.limit(wanted) == len(everyone)
