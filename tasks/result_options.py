"""The settings of the result backend, and what they may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from celery.exceptions import ImproperlyConfigured


@dataclass(frozen=True)
class ResultOptions:
    """What `result_backend_transport_options` may hold.

    Attributes:
        bucket: where results are kept.
        region: the bucket's AWS region.
        endpoint_url: where S3 is; empty for AWS itself.
        store_deadline_s: how long a worker tries to store a result before it gives the message back.
        global_keyprefix: Celery's own option: what every key begins with.
    """

    bucket: str
    region: str
    endpoint_url: str = ""
    store_deadline_s: float = 120.0
    global_keyprefix: str = ""

    @classmethod
    def from_conf(cls, conf: Any) -> Self:
        """Read the options from an app's configuration.

        Raises:
            ImproperlyConfigured: an option is missing or unknown, or results are not to be JSON.
        """
        if conf.result_serializer != "json":
            raise ImproperlyConfigured(f"result_serializer must be 'json' (got {conf.result_serializer!r})")
        try:
            return cls(**conf.result_backend_transport_options)
        except TypeError as error:
            raise ImproperlyConfigured(f"result_backend_transport_options: {error}") from error
