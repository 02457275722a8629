"""Audit events as OpenTelemetry's log records, over OTLP/HTTP in JSON (opentelemetry.io/docs/specs/otlp).

A record's body is the event's line as the audit's export has it; its name, and who did what to whom, are attributes
too, so that a collector can sort by them.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from identity.syslog import APP, is_refusal

PATH = "/v1/logs"
_INFO, _WARN = (9, "INFO"), (13, "WARN")
_ATTRIBUTES = ("sequence", "actor_kind", "actor", "action", "target_kind", "target", "door", "tenant")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def url_of(address: str) -> str:
    """Where logs go: below the collector's address, unless that says so itself."""
    address = address.rstrip("/")
    return address if address.endswith(PATH) else address + PATH


def request_body(lines: Iterable[Mapping[str, Any]], *, host: str) -> bytes:
    """An `ExportLogsServiceRequest`. A line has `at` (RFC 3339, UTC) and `action`; `host`: who sends it."""
    resource = {"attributes": [_attribute("service.name", APP), _attribute("host.name", host)]}
    scope = {"scope": {"name": "beffroi.audit"}, "logRecords": [_record(line) for line in lines]}
    body = {"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}
    return json.dumps(body, separators=(",", ":")).encode()


def refused_records(body: bytes) -> int:
    """How many records the collector says that it dropped, though it took the request (`partialSuccess`)."""
    try:
        told = json.loads(body or b"{}")
        return int(told.get("partialSuccess", {}).get("rejectedLogRecords", 0))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return 0


def _record(line: Mapping[str, Any]) -> dict[str, Any]:
    action = str(line["action"])
    number, word = _WARN if is_refusal(action) else _INFO
    at = datetime.fromisoformat(str(line["at"]))
    nanoseconds = str((at - _EPOCH) // (_EPOCH.resolution) * 1000)
    told = [_attribute(f"beffroi.{name}", line[name]) for name in _ATTRIBUTES if line.get(name) is not None]
    return {
        "timeUnixNano": nanoseconds,
        "observedTimeUnixNano": nanoseconds,
        "severityNumber": number,
        "severityText": word,
        "eventName": action,
        "body": {"stringValue": json.dumps(line, separators=(",", ":"), sort_keys=True)},
        "attributes": told,
    }


def _attribute(name: str, value: object) -> dict[str, Any]:
    """64-bit numbers are texts in this JSON, as in all of Protocol Buffers' JSON."""
    return {"key": name, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": str(value)}}
