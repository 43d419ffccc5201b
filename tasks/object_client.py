"""Opens obstore's client of one S3 bucket: time limits, retries, credentials; refuses one that a fork has broken.

obstore instead of boto3: it was measured at a sixth of the CPU time per call, and it releases the interpreter lock.
Its clients are safe to share between threads, but not with a process that is forked after their first use.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import NoCredentialsError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CONNECT_TIMEOUT = timedelta(seconds=3)
MAX_RETRIES = 3
RETRY_TIMEOUT = timedelta(seconds=10)
# obstore asks for new credentials 5 minutes before the age given here; botocore hands out keys of a role that are
# good for at least 10 more (RefreshableCredentials). The provider's own default, 30, would outlive them.
CREDENTIALS_TTL = timedelta(minutes=10)


def open_store(bucket: str, region: str, endpoint_url: str, request_timeout: timedelta) -> S3Store:
    """Return a client of a bucket; `endpoint_url` is empty for AWS itself.

    Raises:
        botocore.exceptions.NoCredentialsError: there are no credentials.
    """
    session = boto3.Session(region_name=region)
    if session.get_credentials() is None:
        raise NoCredentialsError
    client: ClientConfig = {
        "allow_http": endpoint_url.startswith("http://"),
        "connect_timeout": CONNECT_TIMEOUT,
        "timeout": request_timeout,
    }
    retry: RetryConfig = {"max_retries": MAX_RETRIES, "retry_timeout": RETRY_TIMEOUT}
    # Under this name it wins over AWS_ENDPOINT_URL_S3, which obstore reads by itself. Buckets are addressed by path,
    # which AWS takes as well as a host name per bucket, and which is all that emulators know.
    place = {"aws_endpoint_url_s3": endpoint_url} if endpoint_url else {}
    return S3Store(
        bucket,
        region=region,
        client_options=client,
        retry_config=retry,
        credential_provider=Boto3CredentialProvider(session, ttl=CREDENTIALS_TTL),
        disable_bulk_delete=True,
        virtual_hosted_style_request=False,
        **place,  # type: ignore[arg-type]  # an optional keyword
    )


_user_pid: int | None = None


def refuse_after_fork() -> None:
    """Refuse what would hang: obstore's threads do not survive a fork.

    Raises:
        RuntimeError: a parent of this process has used S3 before it forked.
    """
    global _user_pid  # noqa: PLW0603 - obstore has one runtime per process, so there is one fact to remember
    pid = os.getpid()
    if _user_pid is None:
        _user_pid = pid
    elif _user_pid != pid:
        raise RuntimeError(
            "S3 was used before this process was forked, which obstore does not survive; "
            "run Celery's threads pool, or fork first"
        )
