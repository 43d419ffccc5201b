"""Asks the instance's metadata service (IMDSv2) who this machine is and whether EC2 wants it back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

import urllib3

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
TOKEN_TTL_S = 21_600
TOKEN_PATH = "/latest/api/token"  # noqa: S105 - a path
TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105 - a header's name
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
INSTANCE_ID_PATH = "/latest/meta-data/instance-id"
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
SPOT_PATH = "/latest/meta-data/spot/instance-action"
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html
REBALANCE_PATH = "/latest/meta-data/events/recommendations/rebalance"
# The service is on the machine's own link; what takes longer is not there.
TIMEOUT_S = 1.0

log = logging.getLogger(__name__)


class MetadataError(Exception):
    """The metadata service does not answer, or not as it should."""


class Metadata:
    """One instance's metadata.

    Args:
        base_url: of the service.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._pool = urllib3.PoolManager(timeout=TIMEOUT_S, retries=False)
        self._token = ""
        self._answers = True

    def instance_id(self) -> str:
        """Return the instance's id.

        Raises:
            MetadataError: the service is not there or does not know.
        """
        found = self._get(INSTANCE_ID_PATH)
        if found is None:
            raise MetadataError(f"{self._base_url} knows no instance id")
        return found

    def notice(self) -> str:
        """Return in words what EC2 announces; empty if nothing, or if the service does not answer."""
        try:
            for what, path in (("spot interruption", SPOT_PATH), ("rebalance recommendation", REBALANCE_PATH)):
                found = self._get(path)
                if found is not None:
                    return f"{what}: {found}"
        except MetadataError as error:
            if self._answers:
                log.warning("no notice from EC2 will be seen until the metadata service answers: %s", error)
            self._answers = False
            return ""
        self._answers = True
        return ""

    def _get(self, path: str) -> str | None:
        """Read one value, with a new token if the old one has run out; None if there is none."""
        self._token = self._token or self._new_token()
        status, body = self._request("GET", path, {TOKEN_HEADER: self._token})
        if status == HTTPStatus.UNAUTHORIZED:
            self._token = self._new_token()
            status, body = self._request("GET", path, {TOKEN_HEADER: self._token})
        if status == HTTPStatus.NOT_FOUND:
            return None
        return self._checked(path, status, body)

    def _new_token(self) -> str:
        return self._checked(TOKEN_PATH, *self._request("PUT", TOKEN_PATH, {TTL_HEADER: str(TOKEN_TTL_S)}))

    def _checked(self, path: str, status: int, body: str) -> str:
        if status != HTTPStatus.OK:
            raise MetadataError(f"{self._base_url}{path} answers {status}")
        return body

    def _request(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
        try:
            answer = self._pool.request(method, f"{self._base_url}{path}", headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise MetadataError(f"{self._base_url} does not answer: {error}") from error
        return answer.status, answer.data.decode("utf-8", "replace").strip()
