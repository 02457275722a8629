"""How Django's side writes its log for this machine's people: `identity/log_words.py` says what is left out."""

import logging
from types import TracebackType

from identity.log_words import errors_of, words_of

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
        record.message = words_of(record)
        return super().formatMessage(record)

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802  # as above
        """The kinds of an exception and of what it came from, and the lines that they came through."""
        return "\n    from ".join(errors_of(ei[1]))
