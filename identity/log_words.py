"""What a process's log says: what happened and where, never what it was about (I5). Pure, as the relay logs too.

A prompt that was sent to a wrong address ends in an exception or in the line of a library. So no message of an
exception is logged, as it may repeat what was sent; no address, as text may be in it, but the pattern that it fitted;
and no header. What leaves the house says less still: of a library's line its fixed words and numbers only.
"""

import json
import logging
import re
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
# Our own modules put in a line what may be said; others are not asked.
_OURS = ("beffroi.", "console.", "gateway.", "billing.", "models_catalog.", "identity.", "django.request")
_CAUSES_MAX = 10
_TEXT_LENGTH_MAX, _ERRORS_LENGTH_MAX = 2_000, 6_000
# The last net, should one of ours say what it must not: our keys and tokens, credentials of a header or an address.
_SECRETS = re.compile(
    r"\bbf[a-z]_[0-9A-Za-z_]{8,}|\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?|(?<=://)[^/\s@]+(?=@)"
    r"|(?<=\bbearer\s)\S+|(?<=\bbasic\s)\S+|(?<=\bpassword=)\S+",
    re.IGNORECASE,
)


def words_of(record: logging.LogRecord) -> str:
    """A record's message, without what Django and asyncio quote of a request."""
    if record.name == "django.request":
        return f"{_first_argument(record)}: {_route_of(record)}"
    if record.name.startswith("django.security."):
        return "refused a request"  # the logger's name says why
    message = record.getMessage()
    return message.partition("\n")[0].partition("(")[0] if record.name == "asyncio" else message


def errors_of(error: BaseException | None) -> list[str]:
    """The kinds of an exception and of what it came from, each with the lines that it came through."""
    told: list[str] = []
    while error is not None and len(told) < _CAUSES_MAX:
        told.append(f"{type(error).__name__} at {places_of(error)}")
        error = error.__cause__ or error.__context__
    return told


def places_of(error: BaseException) -> str:
    """The lines that an error came through, the innermost first."""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in reversed(frames))


def exported(record: logging.LogRecord, process: str) -> dict[str, Any]:
    """A record as a line that may leave the house. `at` is RFC 3339 in UTC; `errors` is there where one was logged."""
    at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    line: dict[str, Any] = {
        "type": "log",
        "at": at,
        "level": record.levelname,
        "process": process,
        "pid": record.process,
        "logger": record.name,
        "text": _masked(_words_to_export(record))[:_TEXT_LENGTH_MAX],
    }
    if record.exc_info and record.exc_info[1] is not None:
        line["errors"] = "\n".join(errors_of(record.exc_info[1]))[:_ERRORS_LENGTH_MAX]
    return line


class WordlessFormatter(logging.Formatter):
    """A line for the people of this machine, and an exception below it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and an exception below it."""
        record.exc_text = None  # another formatter's, which would be taken for ours
        line = super().format(record)
        record.exc_text = None
        return line

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name for it
        """The line, without what Django and asyncio quote of a request."""
        record.message = words_of(record)
        return super().formatMessage(record)

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802  # as above
        """The kinds of an exception and of what it came from, and the lines that they came through."""
        return "\n    from ".join(errors_of(ei[1]))


class JsonFormatter(logging.Formatter):
    """A line of JSON a record, for a runtime that collects what containers write."""

    def __init__(self, *, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return json.dumps(exported(record, self._process), separators=(",", ":"))


def _words_to_export(record: logging.LogRecord) -> str:
    if record.name.startswith(_OURS) or record.name.startswith("django.security."):
        return words_of(record)
    if record.name == "celery.app.trace" and isinstance(record.args, Mapping):
        return f"task {record.args.get('name')}: {record.args.get('description', 'ended')}"
    if isinstance(record.args, tuple) and record.args and isinstance(record.msg, str):
        return _without_words(record.msg, record.args).strip().partition("\n")[0]
    # Without arguments nobody can tell what in it is fixed: its place tells which line it was.
    return f"at {record.filename}:{record.lineno} {record.funcName}"


def _without_words(template: str, arguments: tuple[object, ...]) -> str:
    """With the numbers alone of what belongs into it."""
    try:
        return template % tuple(one if isinstance(one, int | float) else _LEFT_OUT for one in arguments)
    except (TypeError, ValueError):
        return template


class _LeftOut:
    """Stands for what a library put into its line."""

    def __repr__(self) -> str:
        return "…"


_LEFT_OUT = _LeftOut()


def _masked(text: str) -> str:
    return _SECRETS.sub("…", text)


def _first_argument(record: logging.LogRecord) -> str:
    """Django's words for the status, or for what failed."""
    return str(record.args[0]) if isinstance(record.args, tuple) and record.args else "a request"


def _route_of(record: logging.LogRecord) -> str:
    request: Any = getattr(record, "request", None)
    match = getattr(request, "resolver_match", None)
    return f"{getattr(request, 'method', '')} {match.route or '/'}" if match else "no address of ours"
