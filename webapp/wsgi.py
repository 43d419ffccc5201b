"""What gunicorn loads: ``gunicorn -c python:webapp.serving webapp.wsgi:app``."""

from webapp import create_app
from webapp.serving import settings

app = create_app(settings)
