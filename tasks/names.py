"""The names of tasks, for senders that must not import what the tasks import."""

CLASSIFY = "tasks.classify"
