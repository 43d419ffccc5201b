"""What EC2's error codes mean to the scaler, told once. Pure.

Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html and, for fleets,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-fleet-request-type.html
"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError
from botocore.parsers import ResponseParserError

from scaler.state import Meaning

# All that a request can raise: refused, not sent or not answered, answered with what is no answer of EC2's.
FAILED = (ClientError, BotoCoreError, ResponseParserError)

NO_CAPACITY = frozenset(
    {
        "InsufficientCapacity",
        "InsufficientCapacityOnHost",
        "InsufficientFreeAddressesInSubnet",
        "InsufficientHostCapacity",
        "InsufficientInstanceCapacity",
        "InsufficientReservedInstanceCapacity",
        # A fleet's word for a type that a zone does not offer: https://github.com/compiler-explorer/infra/issues/601
        "InvalidFleetConfiguration",
        "SpotMaxPriceTooLow",
        "UnfulfillableCapacity",
        "Unsupported",
        "UnsupportedOperation",
    }
)
QUOTA = frozenset(
    {
        "DedicatedHostLimitExceeded",
        "FleetInstanceLimitExceeded",
        "InstanceLimitExceeded",
        "MaxSpotFleetRequestCountExceeded",
        "MaxSpotInstanceCountExceeded",
        "VcpuLimitExceeded",
        "VolumeLimitExceeded",
    }
)
THROTTLED = frozenset(
    {
        "EC2ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
# The role's next keys mend it, and they come by themselves.
STALE_KEYS = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "RequestExpired", "UnrecognizedClientException"}
)
FORBIDDEN = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "Blocked",
        "MissingParameter",
        "OptInRequired",
        "PendingVerification",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnknownParameter",
        "ValidationError",
    }
)
# IdempotentParameterMismatch is in none of them: a launch begun before the settings were changed was asked for again.
# The next has a token of its own, so that it is tried again like what is not known.
# Whatever is malformed, not found or in a wrong state in the request itself.
FORBIDDEN_PREFIX = "Invalid"


def meaning_of(code: str) -> Meaning:
    """Return what an error code means; a code that is not known may be temporary, and is tried again.

    >>> str(meaning_of("InsufficientInstanceCapacity")), str(meaning_of("InvalidAMIID.NotFound"))
    ('no capacity', 'forbidden')
    """
    for codes, meaning in (
        (NO_CAPACITY, Meaning.NO_CAPACITY),
        (QUOTA, Meaning.QUOTA),
        (THROTTLED, Meaning.THROTTLED),
        (STALE_KEYS, Meaning.UNAVAILABLE),
        (FORBIDDEN, Meaning.FORBIDDEN),
    ):
        if code in codes:
            return meaning
    return Meaning.FORBIDDEN if code.startswith(FORBIDDEN_PREFIX) else Meaning.UNAVAILABLE


def refusal_of(error: ClientError | BotoCoreError | ResponseParserError) -> tuple[Meaning, str]:
    """Return what a failed request means, and its reason in one line."""
    reason = " ".join(str(error).split())
    if isinstance(error, ClientError):
        return meaning_of(error.response["Error"].get("Code", "")), reason
    # Without credentials, or with a request that botocore itself refuses, no later attempt can fare better.
    wrong = isinstance(error, NoCredentialsError | ParamValidationError)
    return (Meaning.FORBIDDEN if wrong else Meaning.UNAVAILABLE), reason
