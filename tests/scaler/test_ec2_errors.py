"""Each of EC2's errors means one thing to the scaler."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError

from scaler.ec2_errors import meaning_of, refusal_of
from scaler.state import Meaning


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("InsufficientInstanceCapacity", Meaning.NO_CAPACITY),
        ("UnfulfillableCapacity", Meaning.NO_CAPACITY),
        ("Unsupported", Meaning.NO_CAPACITY),
        ("InvalidFleetConfiguration", Meaning.NO_CAPACITY),
        ("VcpuLimitExceeded", Meaning.QUOTA),
        ("MaxSpotInstanceCountExceeded", Meaning.QUOTA),
        ("RequestLimitExceeded", Meaning.THROTTLED),
        ("UnauthorizedOperation", Meaning.FORBIDDEN),
        ("InvalidLaunchTemplateName.NotFoundException", Meaning.FORBIDDEN),
        ("InvalidParameterValue", Meaning.FORBIDDEN),
        ("ExpiredToken", Meaning.UNAVAILABLE),
        ("RequestExpired", Meaning.UNAVAILABLE),
        ("InvalidClientTokenId", Meaning.UNAVAILABLE),
        ("InternalError", Meaning.UNAVAILABLE),
        ("Unavailable", Meaning.UNAVAILABLE),
        ("SomethingNew", Meaning.UNAVAILABLE),
    ],
)
def test_codes(code: str, meaning: Meaning) -> None:
    """A code has its meaning; one that is not known is tried again."""
    assert meaning_of(code) is meaning


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        pytest.param(ConnectTimeoutError(endpoint_url="x"), Meaning.UNAVAILABLE, id="no answer"),
        pytest.param(NoCredentialsError(), Meaning.FORBIDDEN, id="no credentials"),
        pytest.param(
            ClientError({"Error": {"Code": "AuthFailure", "Message": "two\nlines"}}, "X"),
            Meaning.FORBIDDEN,
            id="refused",
        ),
    ],
)
def test_failed_requests(error: Exception, meaning: Meaning) -> None:
    """A failed request has a meaning, and a reason of one line."""
    found, reason = refusal_of(error)  # type: ignore[arg-type]
    assert found is meaning
    assert reason
    assert "\n" not in reason
