"""Celery apps that keep their results in S3, for the tests."""

from __future__ import annotations

import uuid
from typing import Any

from celery import Celery

from local.emulators import REGION


def make_celery(bucket: str, s3_url: str, **options: Any) -> Celery:
    """Return an app with results in `bucket`, messages in memory and `options` of the result backend."""
    app = Celery(f"app-{uuid.uuid4()}", set_as_current=False)
    app.conf.update(
        broker_url="memory://",
        broker_transport_options={"polling_interval": 0.05},
        result_backend="tasks.results:S3ResultBackend",
        result_backend_transport_options={"bucket": bucket, "region": REGION, "endpoint_url": s3_url, **options},
    )
    return app
