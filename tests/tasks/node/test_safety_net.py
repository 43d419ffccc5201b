"""When a node gives up on its scaler: timelines of looks, each with whether the node is abandoned after it."""

from __future__ import annotations

import pytest

from tasks.node.safety_net import Reading, Watch

LIMIT_S = 100.0
SAME, RENEWED, UNKNOWN = "a", "b", None
GONE = ""


@pytest.mark.parametrize(
    "timeline",
    [
        pytest.param(
            [(0, SAME, None, False), (10, SAME, True, False), (100, SAME, True, False), (110, SAME, True, True)],
            id="no renewal and an empty queue for long enough",
        ),
        pytest.param(
            [(0, GONE, None, False), (10, GONE, True, False), (110, GONE, True, True)], id="there is no lease at all"
        ),
        pytest.param(
            [(0, SAME, None, False), (10, SAME, True, False), (60, RENEWED, None, False), (110, RENEWED, True, False)],
            id="a renewal starts it anew",
        ),
        pytest.param(
            [(0, SAME, None, False), (10, SAME, True, False), (60, SAME, False, False), (110, SAME, True, False)],
            id="a message starts it anew",
        ),
        pytest.param(
            [(0, SAME, None, False), (10, SAME, True, False), (60, SAME, None, False), (110, SAME, True, False)],
            id="a queue that cannot be read is not empty",
        ),
        pytest.param(
            [(0, SAME, None, False), (10, SAME, True, False), (60, UNKNOWN, None, False), (110, SAME, True, False)],
            id="a lease that cannot be read may have been renewed",
        ),
        pytest.param(
            [
                (0, UNKNOWN, None, False),
                (200, UNKNOWN, None, False),
                (210, SAME, True, False),
                (300, SAME, True, False),
            ],
            id="nothing is known before the first look",
        ),
    ],
)
def test_a_node_is_abandoned_only_when_both_are_sure(
    timeline: list[tuple[float, str | None, bool | None, bool]],
) -> None:
    """Lease and queue must both have been seen idle, without a doubt in between, for the whole time."""
    watch = Watch()
    for now_s, lease, empty, expected in timeline:
        watch = watch.after(Reading(lease, empty), now_s)
        assert watch.given_up(now_s, LIMIT_S) is expected, now_s
