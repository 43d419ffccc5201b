"""What Celery reads: broker, queue, acknowledgement, results, imports.

The only module that reads the environment when it is imported; a wrong setting ends the process with one line.
"""

import logging
import os
from datetime import timedelta

from kombu import Exchange, Queue

from tasks.environment import SettingsError
from tasks.settings import Settings
from tasks.sqs.names import COMMANDS_EXCHANGE, EVENTS_EXCHANGE

try:
    settings = Settings.from_env(os.environ)
except SettingsError as error:
    raise SystemExit(f"error: {error}") from None

# boto3, kombu's curl client and obstore all read AWS's standard variables: setting them here, once, gives every
# client of the process the same endpoints, and leaves no second code path for the local stack.
os.environ.update(settings.aws_environ)

# One INFO line for each client made says nothing that the settings do not.
logging.getLogger("botocore").setLevel(logging.WARNING)

broker_url = "sqs://"
broker_transport = "tasks.sqs.transport:Transport"
broker_connection_retry_on_startup = True
# A worker outlives any outage; whoever runs it decides when it is over.
broker_connection_max_retries = None
broker_transport_options = {
    "region": settings.region,
    "visibility_timeout": settings.visibility_timeout_s,
    "wait_time_seconds": settings.poll_wait_s,
    "control_prefix": settings.deployment,
    "max_receives": settings.max_receives,
    "event_interval_s": settings.event_interval_s,
    "topic_arns": {
        exchange: arn
        for exchange, arn in (
            (COMMANDS_EXCHANGE, settings.control_topic_arn),
            (EVENTS_EXCHANGE, settings.events_topic_arn),
        )
        if arn
    },
}

task_default_queue = settings.queue
task_queues = (Queue(settings.queue, Exchange(settings.queue, type="direct"), routing_key=settings.queue),)
task_default_exchange = settings.queue
task_default_routing_key = settings.queue
task_create_missing_queues = False

imports = ("tasks.classify", "tasks.report")
task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]

task_acks_late = True
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1
worker_concurrency = settings.worker_threads
worker_pool = "tasks.pool:TaskPool"
worker_send_task_events = settings.worker_events
worker_hijack_root_logger = True
# A message that SQS delivers twice to one worker is run once.
worker_deduplicate_successful_tasks = True
worker_cancel_long_running_tasks_on_connection_loss = False

result_backend = "tasks.results:S3ResultBackend"
result_backend_transport_options = {
    "bucket": settings.result_bucket,
    "region": settings.region,
    "endpoint_url": settings.s3_url,
}
result_extended = True
# Who follows a large batch asks for all its results again and again; a remembered one takes about 3 kB.
result_cache_max = 10_000
result_expires = timedelta(days=settings.expire_days)
