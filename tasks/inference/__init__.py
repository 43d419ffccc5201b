"""Turning image bytes into labels: decoding, preprocessing, models and their weights.

It knows nothing of Celery, SQS or S3 messages.
"""
