"""The web tier's own settings: where it listens and how much one request may ask of it."""

from __future__ import annotations

from pydantic import Field

from tasks.environment import EnvironmentSettings

MIB = 1024 * 1024


class WebSettings(EnvironmentSettings):
    """What the web app is run with."""

    host: str = Field("127.0.0.1", alias="WEB_HOST", description="address that the web app listens on")
    port: int = Field(8000, alias="WEB_PORT", ge=1, le=65_535, description="port that the web app listens on")
    workers: int = Field(1, alias="WEB_WORKERS", ge=1, le=64, description="web processes")
    threads: int = Field(
        64, alias="WEB_THREADS", ge=1, le=1024, description="threads of one web process; a request that waits holds one"
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
    flower_url: str = Field(
        "",
        alias="FLOWER_URL",
        pattern=r"^https?://\S+$",
        description="address of Flower that the page links to",
    )
