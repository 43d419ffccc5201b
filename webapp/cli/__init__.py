"""The command line: classifies photos by the HTTP API. It runs anywhere; nothing of the server is imported."""
