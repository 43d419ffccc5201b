"""The Celery app, and nothing else. Start a worker with ``celery -A tasks.app worker``."""

from celery import Celery

app = Celery("classifier")
app.config_from_object("celeryconfig", force=True)
