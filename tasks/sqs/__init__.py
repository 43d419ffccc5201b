"""A kombu transport for Amazon SQS with remote control, events, batching and a visibility heartbeat.

It knows nothing of images: nothing here imports from the rest of `tasks`.
"""
