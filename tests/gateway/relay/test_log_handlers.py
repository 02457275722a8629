"""Where a gateway's log goes, as its environment says."""

import io
import json
import logging
from pathlib import Path

from gateway.relay.log_handlers import log_handlers
from identity.log_spool import Position, read


def said(environment: dict[str, str], error: BaseException) -> str:
    """What of a line and its exception comes to stderr."""
    logger = logging.Logger("beffroi.gateway", logging.INFO)  # noqa: LOG001  of this test alone
    logger.handlers = log_handlers(environment)
    stderr = logger.handlers[0]
    assert isinstance(stderr, logging.StreamHandler)
    stderr.stream = written = io.StringIO()
    logger.warning("not ready: %s", "no database", exc_info=error)
    return written.getvalue()


def test_a_line_goes_to_stderr_and_to_the_spool(tmp_path: Path) -> None:
    environment = {"BEFFROI_LOG_SPOOL": str(tmp_path), "BEFFROI_PROCESS": "gateway 2", "BEFFROI_LOG_FORMAT": "json"}
    told = json.loads(said(environment, ValueError("Xanthippe")))
    assert (told["process"], told["level"], told["text"]) == ("gateway 2", "WARNING", "not ready: no database")
    assert told["errors"] == "ValueError at "
    assert read(tmp_path, Position(), lines_max=9, bytes_max=10_000).lines == [told]


def test_no_message_of_an_exception_is_on_stderr_as_text_either(tmp_path: Path) -> None:
    told = said({}, ValueError("Xanthippe"))
    assert "WARNING beffroi.gateway not ready: no database" in told
    assert "Xanthippe" not in told
    assert list(tmp_path.iterdir()) == []
