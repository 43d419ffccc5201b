#!/bin/bash
# What a node runs when it starts: UserData, on AWS and on one machine alike. Whoever makes the launch template puts
# lines like `export NAME='value'` below the first one. The code must be in NODE_CODE_DIR by now: it comes with the
# machine's image.
set -euo pipefail
cd "${NODE_CODE_DIR:-/opt/classifier}"
exec "${NODE_PYTHON:-.venv/bin/python}" -m tasks.node
