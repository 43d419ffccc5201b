"""What runs on Celery: the app, the classify task, the SQS transport, the result store and inference."""
