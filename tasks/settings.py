"""The settings that everything on Celery shares: where AWS is, what the queue promises, which model runs.

Every default suits the local stack (`make run`). `CLOUD=aws` leaves endpoints and keys to AWS's own chain.
"""

from __future__ import annotations

import os
from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.environment import EnvironmentSettings

LOCAL_AWS_URL = "http://127.0.0.1:4566"
LOCAL_EC2_URL = "http://127.0.0.1:4567"
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
SQS_MAX_VISIBILITY_TIMEOUT_S = 43_200
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
SQS_MAX_WAIT_S = 20
# S3 bucket naming rules: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
BUCKET_NAME = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"
# SQS queue names: letters, digits, hyphen and underscore, 80 at most.
QUEUE_NAME = r"^[A-Za-z0-9_-]{1,80}$"
# Twice Image.MAX_IMAGE_PIXELS: beyond it Pillow itself refuses to decode.
PILLOW_MAX_PIXELS = 178_956_970
# SNS topic names: letters, digits, hyphen and underscore, 256 at most.
TOPIC_ARN = r"^(arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256})?$"
# How a role's keys are asked for. boto3's own patience is one try of a second, which a busy machine does not always keep;
# the service itself is on the machine's own link.
# https://boto3.amazonaws.com/v1/documentation/api/latest/guide/configuration.html#using-environment-variables
METADATA_PATIENCE = {"AWS_METADATA_SERVICE_TIMEOUT": "5", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "4"}
ENDPOINT_URL = r"^https?://[^\s/]+/?$"


class Settings(EnvironmentSettings):
    """What Celery, the stores and the model are run with."""

    cloud: Literal["local", "aws"] = Field(
        "local",
        alias="CLOUD",
        description="`local`: the embedded AWS; `aws`: real AWS, its own credential chain",
    )
    region: str = Field("us-east-1", alias="AWS_REGION", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", description="AWS region")
    s3_endpoint: str = Field(
        "",
        alias="AWS_ENDPOINT_URL_S3",
        pattern=ENDPOINT_URL,
        description=f"S3 endpoint ({LOCAL_AWS_URL} locally)",
    )
    sqs_endpoint: str = Field(
        "",
        alias="AWS_ENDPOINT_URL_SQS",
        pattern=ENDPOINT_URL,
        description=f"SQS endpoint ({LOCAL_AWS_URL} locally)",
    )
    sns_endpoint: str = Field(
        "",
        alias="AWS_ENDPOINT_URL_SNS",
        pattern=ENDPOINT_URL,
        description=f"SNS endpoint ({LOCAL_AWS_URL} locally)",
    )
    ec2_endpoint: str = Field(
        "",
        alias="AWS_ENDPOINT_URL_EC2",
        pattern=ENDPOINT_URL,
        description=f"EC2 endpoint ({LOCAL_EC2_URL} locally)",
    )
    deployment: str = Field(
        "classifier",
        alias="DEPLOYMENT",
        pattern=r"^[a-z][a-z0-9-]{0,19}$",
        description="prefix of control queues and topics: keeps two deployments in one account apart",
    )
    control_topic_arn: str = Field(
        "",
        alias="CONTROL_TOPIC_ARN",
        pattern=TOPIC_ARN,
        description="SNS topic of remote control's commands; empty: made when first used",
    )
    events_topic_arn: str = Field(
        "",
        alias="EVENTS_TOPIC_ARN",
        pattern=TOPIC_ARN,
        description="SNS topic of the workers' events; empty: made when first used",
    )
    input_bucket: str = Field(
        "classifier-input", alias="INPUT_BUCKET", pattern=BUCKET_NAME, description="bucket of uploaded photos"
    )
    result_bucket: str = Field(
        "classifier-results", alias="RESULT_BUCKET", pattern=BUCKET_NAME, description="bucket of results"
    )
    queue: str = Field("classify", alias="QUEUE", pattern=QUEUE_NAME, description="SQS queue of classify tasks")
    dead_letter_queue: str = Field(
        "classify-dead-letters",
        alias="DEAD_LETTER_QUEUE",
        pattern=QUEUE_NAME,
        description="SQS queue that gets the messages no worker survived",
    )
    expire_days: int = Field(
        7, alias="EXPIRE_DAYS", ge=1, le=3650, description="days after which photos and results are deleted"
    )
    visibility_timeout_s: int = Field(
        60,
        alias="VISIBILITY_TIMEOUT_S",
        ge=2,
        le=SQS_MAX_VISIBILITY_TIMEOUT_S,
        description="seconds until a dead worker's message is delivered again",
    )
    poll_wait_s: int = Field(
        20,
        alias="POLL_WAIT_S",
        ge=1,
        le=SQS_MAX_WAIT_S,
        description="seconds that a worker's poll waits for tasks; a stopping worker waits for its last one",
    )
    task_time_limit_s: int = Field(
        45, alias="TASK_TIME_LIMIT_S", ge=1, description="seconds after which one classification is given up"
    )
    task_max_retries: int = Field(
        10, alias="TASK_MAX_RETRIES", ge=0, le=20, description="retries when S3 or SQS cannot be reached"
    )
    max_receives: int = Field(
        5,
        alias="MAX_RECEIVES",
        ge=1,
        le=1000,
        description="deliveries after which a message is a dead letter",
    )
    worker_events: bool = Field(
        default=True, alias="WORKER_EVENTS", description="whether workers tell Flower of each task"
    )
    event_interval_s: float = Field(
        1.0, alias="EVENT_INTERVAL_S", gt=0, le=60, description="seconds of events that one request carries to Flower"
    )
    worker_app: str = Field(
        "tasks.app", alias="WORKER_APP", pattern=r"^[a-z_][a-z0-9_.]*$", description="Celery app of a node's workers"
    )
    worker_processes: int = Field(
        0,
        alias="WORKER_PROCESSES",
        ge=0,
        le=64,
        description="Celery workers on one node; 0: one for each core, or one with `DEVICE=cuda`",
    )
    worker_threads: int = Field(
        8, alias="WORKER_THREADS", ge=1, le=256, description="photos that one worker handles at a time"
    )
    model: str = Field(
        "everyday10",
        alias="MODEL",
        pattern=r"^[a-z0-9_]+$",
        description="`everyday10` (bundled) or any torchvision classifier by name",
    )
    model_weights: str = Field(
        "",
        alias="MODEL_WEIGHTS",
        description="file, `s3://` URL or torchvision weights name; empty: the model's own default",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", alias="DEVICE", description="where the model runs")
    model_precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        "auto",
        alias="MODEL_PRECISION",
        description="numbers that the model computes in; `auto`: fp32 on the CPU, fp16 on CUDA",
    )
    model_runtime: Literal["auto", "torch", "onnxruntime", "openvino"] = Field(
        "auto",
        alias="MODEL_RUNTIME",
        description="library that runs the model; `auto`: torch. The others: requirements-runtimes.txt",
    )
    batch_size: int = Field(
        8, alias="BATCH_SIZE", ge=1, le=1024, description="most photos that the model looks at together"
    )
    batch_wait_s: float = Field(
        0.01,
        alias="BATCH_WAIT_S",
        ge=0,
        le=10,
        description="seconds that a photo waits for others that are being decoded; a lone one does not wait",
    )
    torch_threads: int = Field(
        1, alias="TORCH_THREADS", ge=1, le=256, description="threads of one model run on the CPU"
    )
    max_image_pixels: int = Field(
        100_000_000,
        alias="MAX_IMAGE_PIXELS",
        ge=1,
        le=PILLOW_MAX_PIXELS,
        description="largest photo that is decoded, in pixels",
    )

    @model_validator(mode="after")
    def _visibility_outlasts_the_task(self) -> Self:
        if self.visibility_timeout_s <= self.task_time_limit_s:
            raise ValueError(
                f"VISIBILITY_TIMEOUT_S={self.visibility_timeout_s} is refused: it should be more than "
                f"TASK_TIME_LIMIT_S={self.task_time_limit_s}, or SQS delivers a running task again"
            )
        return self

    @property
    def s3_url(self) -> str:
        """The S3 endpoint that is in force; empty for AWS itself."""
        return self.s3_endpoint or ("" if self.cloud == "aws" else LOCAL_AWS_URL)

    @property
    def node_workers(self) -> int:
        """How many Celery workers a node with this machine's cores runs (docs/inference.md says why)."""
        cores = len(os.sched_getaffinity(0))
        return self.worker_processes or (1 if self.device == "cuda" else cores)

    @property
    def aws_environ(self) -> dict[str, str]:
        """AWS's standard variables as boto3, kombu and obstore read them; of real AWS no place and no key."""
        region = {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        if self.cloud == "aws":
            return region | METADATA_PATIENCE
        return region | {
            "AWS_ENDPOINT_URL_S3": self.s3_url,
            "AWS_ENDPOINT_URL_SQS": self.sqs_endpoint or LOCAL_AWS_URL,
            "AWS_ENDPOINT_URL_SNS": self.sns_endpoint or LOCAL_AWS_URL,
            "AWS_ENDPOINT_URL_EC2": self.ec2_endpoint or LOCAL_EC2_URL,
            # The emulators take any key; a fixed one keeps a developer's real keys out of their logs.
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
        }
