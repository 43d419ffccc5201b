"""Whether this process has been told to end: who waits for results then answers with what there is."""

import threading

stopping = threading.Event()
