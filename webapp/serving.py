"""Gunicorn's configuration, from the same settings as the app; a wrong setting ends it with one line.

https://docs.gunicorn.org/en/stable/settings.html
"""

import gc
import os
import shutil
import tempfile
from typing import Any

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
logger_class = "webapp.worker.Log"
logconfig_dict = logs.CONFIG
# A browser's request has 20 to 30 headers; the longest is a cookie, of 4 kB at most. Past these: 414 or 431.
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
# No header of a client's takes the place of the address it asks for.
forwarder_headers = ""
# Workers are managed by signals; a socket in the user's home folder would be shared by every stack of the machine.
control_socket_disable = True
# The heartbeat file must not stall on a slow disk.
worker_tmp_dir = SHARED_MEMORY if os.path.isdir(SHARED_MEMORY) else None  # noqa: PTH112 - gunicorn wants a string

# Each process writes its figures into files here; whichever is asked for /metrics adds them up. prometheus_client looks
# for the folder when it is imported: https://prometheus.github.io/client_python/multiprocess/
figures_dir = tempfile.mkdtemp(prefix="web-figures-", dir=worker_tmp_dir) if workers > 1 else ""
if figures_dir:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = figures_dir


def post_worker_init(_worker: Any) -> None:
    """Leave what has been loaded out of garbage collections: they go through everything while all requests wait."""
    gc.freeze()


def child_exit(_server: Any, worker: Any) -> None:
    """Leave a process that has ended out of what is counted now."""
    if figures_dir:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # it has no annotations


def on_exit(_server: Any) -> None:
    """Remove the figures of a server that ends."""
    if figures_dir:
        shutil.rmtree(figures_dir)
