"""The agent that runs on each node: it keeps the workers running, and ends the node in good order."""
