"""The one-machine stack: emulated AWS, the project's own processes, and the commands that run them."""
