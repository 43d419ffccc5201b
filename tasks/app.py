"""The Celery app, and nothing else. Start a worker with ``celery -A tasks.app worker``."""

from celery import Celery

from tasks.sqs.poison import SafeTask

app = Celery("classifier", task_cls=SafeTask)
app.config_from_object("celeryconfig", force=True)
