"""What Django's side logs: what happened and where, never what it was about (I5).

A prompt that was sent to a wrong address ends here. So no message of an exception is logged, as it may repeat what
was sent; no address, as text may be in it, but the pattern that it fitted; and no header.
"""

import logging
from types import TracebackType
from typing import Any

from gateway.relay.failures import places_of

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class WordlessFormatter(logging.Formatter):
    """Formats a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and an exception below it."""
        record.exc_text = None  # another formatter's, which would be taken for ours
        line = super().format(record)
        record.exc_text = None
        return line

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name for it
        """The line, without what Django and asyncio quote of a request."""
        if record.name == "django.request":
            record.message = f"{_first_argument(record)}: {_route_of(record)}"
        elif record.name.startswith("django.security."):
            record.message = "refused a request"  # the logger's name says why
        elif record.name == "asyncio":
            record.message = record.message.partition("\n")[0].partition("(")[0]
        return super().formatMessage(record)

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802  # as above
        """The kinds of an exception and of what it came from, and the lines that they came through."""
        told: list[str] = []
        error = ei[1]
        while error is not None and len(told) < 10:
            told.append(f"{type(error).__name__} at {places_of(error)}")
            error = error.__cause__ or error.__context__
        return "\n    from ".join(told)


def _first_argument(record: logging.LogRecord) -> str:
    """Django's words for the status, or for what failed."""
    return str(record.args[0]) if isinstance(record.args, tuple) and record.args else "a request"


def _route_of(record: logging.LogRecord) -> str:
    request: Any = getattr(record, "request", None)
    match = getattr(request, "resolver_match", None)
    return f"{getattr(request, 'method', '')} {match.route or '/'}" if match else "no address of ours"
