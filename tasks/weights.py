"""Fetches model weights that a setting names by an ``s3://`` URL."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import urlsplit

import torch

from celeryconfig import settings
from tasks.inference.errors import ModelError
from tasks.objects import Bucket, StoreUnavailable


def download(url: str) -> Path:
    """Fetch ``s3://bucket/key`` into torch's cache folder; return the local file.

    It is fetched anew at each start, so that new weights under an old name are taken up.

    Raises:
        ModelError: not an ``s3://`` URL, nothing there, or S3 cannot be reached.
    """
    parts = urlsplit(url)
    key = parts.path.lstrip("/")
    if parts.scheme != "s3" or not parts.netloc or not key:
        raise ModelError(f"MODEL_WEIGHTS={url}: give a file, a weights name or s3://BUCKET/KEY")
    try:
        stored = Bucket(parts.netloc, region=settings.region, endpoint_url=settings.s3_url).get(key)
    except StoreUnavailable as error:
        raise ModelError(f"MODEL_WEIGHTS={url}: {error}") from error
    if stored is None:
        raise ModelError(f"MODEL_WEIGHTS={url}: there is no such object, or this role may not read it")
    folder = Path(torch.hub.get_dir()) / "s3" / parts.netloc
    path = folder / key.replace("/", "_")
    folder.mkdir(parents=True, exist_ok=True)
    # Several worker processes may fetch at the same time: each writes its own file, the last one's name stays.
    with NamedTemporaryFile(dir=folder, suffix=path.suffix, delete=False) as unfinished:
        unfinished.write(stored.data)
    return Path(unfinished.name).replace(path)
