"""How an unexpected failure is logged: where it happened, never what it was about.

A message or a variable may hold a prompt (I5).
"""

import asyncio
import logging
from typing import Any

from identity.log_words import places_of

logger = logging.getLogger("beffroi.failures")


def log_failure(logger: logging.Logger, what: str, error: BaseException) -> None:
    """Log the kind of an error and the lines that it came through, without its message."""
    logger.error("%s: %s at %s", what, type(error).__name__, places_of(error))


def log_uncaught(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An event loop's handler for what nobody caught. asyncio's own logs messages and arguments."""
    log_failure(logger, "not caught", context.get("exception") or RuntimeError())
