"""Gunicorn's configuration, from the same settings as the app; a wrong setting ends it with one line.

https://docs.gunicorn.org/en/stable/settings.html
"""

import os

from tasks.environment import SettingsError
from webapp import logs
from webapp.settings import WebSettings

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - gunicorn makes its files there safely

try:
    settings = WebSettings.from_env(os.environ)
except SettingsError as error:
    raise SystemExit(f"error: {error}") from None

bind = f"{settings.host}:{settings.port}"
workers = settings.workers
worker_class = "webapp.worker.Worker"
threads = settings.threads
timeout = 60
graceful_timeout = 30
keepalive = 15
accesslog = None
logconfig_dict = logs.CONFIG
# A browser's request has 20 to 30 headers; the longest is a cookie, of 4 kB at most. Past these: 414 or 431.
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
# Workers are managed by signals; a socket in the user's home folder would be shared by every stack of the machine.
control_socket_disable = True
# The heartbeat file must not stall on a slow disk.
worker_tmp_dir = SHARED_MEMORY if os.path.isdir(SHARED_MEMORY) else None  # noqa: PTH112 - gunicorn wants a string
