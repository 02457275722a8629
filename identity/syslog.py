"""Audit events and log lines as syslog messages (RFC 5424), framed by their length (RFC 6587, 3.4.1; RFC 5425, 4.3).

    110 ... <110>1 2026-11-21T20:00:00.123456Z beffroi.example.org beffroi - api_key.revoked - {"type":"event",...}
    28 ... <28>1 2026-11-21T20:00:01.654321Z beffroi.example.org beffroi 4711 beffroi.ledger - {"type":"log",...}

Of an event the facility is 13 (log audit), the severity 6 (informational), of refusals 4 (warning). The message id is
the action, the message the event's line as the audit's export has it: ASCII JSON, which `identity/audit_verifier.py`
verifies. Of a log line the facility is 3 (system daemons), the severity its level's, the process id its process's, the
message id its logger, and the message what `identity/log_words.py: exported` makes.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

_AUDIT, _DAEMON = 13, 3
_INFORMATIONAL, _WARNING = 6, 4
_SEVERITIES = {"CRITICAL": 2, "ERROR": 3, "WARNING": _WARNING, "INFO": _INFORMATIONAL, "DEBUG": 7}
_HOST_LENGTH_MAX, _ID_LENGTH_MAX = 255, 32
_NIL = "-"
APP = "beffroi"


def message(line: Mapping[str, Any], *, host: str) -> bytes:
    """One message. `line` has `at` (RFC 3339, UTC) and `action`, or is a log's; `host`: who sends it."""
    if line["type"] == "log":
        priority = _DAEMON * 8 + _SEVERITIES.get(line["level"], _INFORMATIONAL)
        process, name = str(line.get("pid", _NIL)), str(line["logger"])
    else:
        name, process = str(line["action"]), _NIL
        priority = _AUDIT * 8 + (_WARNING if is_refusal(name) else _INFORMATIONAL)
    text = json.dumps(line, separators=(",", ":"), sort_keys=True)
    said = f"<{priority}>1 {line['at']} {_printable(host, _HOST_LENGTH_MAX)} {APP} {process}"
    return f"{said} {_printable(name, _ID_LENGTH_MAX)} {_NIL} {text}".encode("ascii")


def framed(messages: Iterable[bytes]) -> bytes:
    """Messages in a row, each after its length in bytes and a space."""
    return b"".join(b"%d %s" % (len(one), one) for one in messages)


def is_refusal(action: str) -> bool:
    """Whether somebody was refused: what a person may want to look at."""
    return action.endswith(("refused", "refusals_counted", "throttled"))


def _printable(text: str, length_max: int) -> str:
    """A header's field: printable ASCII without blanks; nothing is "-"."""
    return "".join(character for character in text if "!" <= character <= "~")[:length_max] or _NIL
