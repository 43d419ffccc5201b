"""How a failed request is logged by a thread that goes on: what AWS and networks do in a line, all else with a traceback.

botocore raises more than its own two errors. Over an answer that is none of AWS's, as a proxy's page or an empty body,
it raises ResponseParserError, AttributeError or UnicodeDecodeError, and over credentials that come expired,
RuntimeError. A thread that ended by one of them would leave a worker that looks alive and gets, keeps or tells nothing.
"""

from __future__ import annotations

import logging

from botocore.exceptions import BotoCoreError, ClientError


def log_failure(log: logging.Logger, error: Exception, text: str, *args: object) -> None:
    """Log what failed: as a warning, or, if nobody foresaw `error`, as an error with its traceback."""
    if isinstance(error, BotoCoreError | ClientError):
        log.warning(text, *args, stacklevel=2)
    else:
        log.error(text, *args, exc_info=error, stacklevel=2)
