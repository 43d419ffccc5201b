"""What the web process loads."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_web_app_never_imports_torch() -> None:
    """The web process stays small: not even a module that it imports brings torch."""
    program = "import sys, webapp.wsgi; print(sorted({'torch', 'torchvision'} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert output.stdout.strip() == "[]"


def test_knowing_the_tasks_needs_no_torch() -> None:
    """Flower, which imports all tasks, runs on the web machine, where torch is not installed."""
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from tasks.app import app; app.loader.import_default_modules(); print('tasks.classify' in app.tasks)"
    )
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert output.stdout.strip() == "True"


def test_a_wrong_setting_stops_the_web_app_with_one_line() -> None:
    """The operator sees the setting's name, not a traceback."""
    command = [sys.executable, "-m", "gunicorn", "-c", "python:webapp.serving", "webapp.wsgi:app"]
    output = subprocess.run(command, check=False, capture_output=True, text=True, env={"WEB_PORT": "eighty"})
    assert output.returncode != 0
    assert output.stderr.count("\n") == 1
    assert "WEB_PORT='eighty'" in output.stderr


def test_a_wrong_setting_stops_the_worker_with_one_line() -> None:
    """The worker says the same in the same form."""
    command = [sys.executable, "-m", "celery", "-A", "tasks.app", "worker"]
    output = subprocess.run(command, check=False, capture_output=True, text=True, env={"MAX_RECEIVES": "0"})
    assert output.returncode != 0
    assert output.stderr.count("\n") == 1
    assert "MAX_RECEIVES='0'" in output.stderr
