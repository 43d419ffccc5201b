"""The web tier's own settings: where it listens, how much one request may ask of it, and how much all together."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from webapp.access_settings import AccessSettings

MIB = 1024 * 1024


class WebSettings(AccessSettings):
    """What the web app is run with."""

    port: int = Field(8000, alias="WEB_PORT", ge=1, le=65_535, description="port that the web app listens on")
    workers: int = Field(1, alias="WEB_WORKERS", ge=1, le=64, description="web processes")
    threads: int = Field(
        512,
        alias="WEB_THREADS",
        ge=8,
        le=1024,
        description="threads of one web process: 3/8 take uploads, 1/2 wait for results, the rest answers",
    )
    max_image_bytes: int = Field(
        20 * MIB, alias="MAX_IMAGE_BYTES", ge=1, description="largest photo that is accepted, in bytes"
    )
    max_request_bytes: int = Field(
        512 * MIB, alias="MAX_REQUEST_BYTES", ge=1, description="largest request that is accepted, in bytes"
    )
    max_files: int = Field(
        500, alias="MAX_FILES", ge=1, le=10_000, description="most photos that one request may carry"
    )
    max_batch: int = Field(
        10_000, alias="MAX_BATCH", ge=1, le=100_000, description="most photos that one `POST /batches` may name"
    )
    max_spool_bytes: int = Field(
        2048 * MIB,
        alias="MAX_SPOOL_BYTES",
        ge=1,
        description="bytes of unfinished uploads that one web process holds on disk, in its TMPDIR",
    )
    max_backlog: int = Field(
        100_000, alias="MAX_BACKLOG", ge=1, description="photos waiting in the queue from which on no more are taken"
    )
    upload_wait_s: float = Field(
        30.0, alias="UPLOAD_WAIT_S", ge=0, le=60, description="seconds that `POST /upload` waits for the label"
    )
    flower_url: str = Field(
        "",
        alias="FLOWER_URL",
        pattern=r"^(https?://|/)\S+$",
        description="address of Flower that the page links to; behind the same proxy a path is enough",
    )
    scaler_url: str = Field(
        "http://127.0.0.1:8100",
        alias="SCALER_URL",
        pattern=r"^https?://\S+$",
        description="address of the scaler, whose figures tell the page how many nodes there are",
    )

    @model_validator(mode="after")
    def _one_request_fits_on_disk(self) -> Self:
        if self.max_spool_bytes < self.max_request_bytes:
            raise ValueError(
                f"MAX_SPOOL_BYTES={self.max_spool_bytes} is refused: it should be at least "
                f"MAX_REQUEST_BYTES={self.max_request_bytes}, or the largest request never fits"
            )
        return self

    @property
    def upload_slots(self) -> int:
        """How many uploads one process takes in at a time."""
        return self.threads * 3 // 8

    @property
    def waiting_slots(self) -> int:
        """How many requests of one process wait for results at a time; with the uploads never all threads."""
        return self.threads // 2
