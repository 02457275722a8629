"""Audit events and log lines as OpenTelemetry's log records, over OTLP/HTTP in JSON (opentelemetry.io/docs/specs/otlp).

An event's body is its line as the audit's export has it; its name, and who did what to whom, are attributes too, so
that a collector can sort by them. A log line's body is its text; its process is the resource that it belongs to, and
names of attributes are OpenTelemetry's where it has some (opentelemetry.io/docs/specs/semconv).
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from identity.syslog import APP, is_refusal

PATH = "/v1/logs"
_INFO, _WARN = (9, "INFO"), (13, "WARN")
_LEVELS = {"CRITICAL": (21, "FATAL"), "ERROR": (17, "ERROR"), "WARNING": _WARN, "INFO": _INFO, "DEBUG": (5, "DEBUG")}
_ATTRIBUTES = ("sequence", "actor_kind", "actor", "action", "target_kind", "target", "door", "tenant")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def url_of(address: str) -> str:
    """Where logs go: below the collector's address, unless that says so itself."""
    address = address.rstrip("/")
    return address if address.endswith(PATH) else address + PATH


def request_body(lines: Iterable[Mapping[str, Any]], *, host: str) -> bytes:
    """An `ExportLogsServiceRequest`. A line has `at` (RFC 3339, UTC) and `action`, or is a log's; `host` sends it."""
    processes: dict[str | None, list[Mapping[str, Any]]] = {}
    for line in lines:
        processes.setdefault(line["process"] if line["type"] == "log" else None, []).append(line)
    told = [_of_process(process, of_it, host) for process, of_it in processes.items()]
    return json.dumps({"resourceLogs": told}, separators=(",", ":")).encode()


def refused_records(body: bytes) -> int:
    """How many records the collector says that it dropped, though it took the request (`partialSuccess`)."""
    try:
        told = json.loads(body or b"{}")
        return int(told.get("partialSuccess", {}).get("rejectedLogRecords", 0))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return 0


def _of_process(process: str | None, lines: list[Mapping[str, Any]], host: str) -> dict[str, Any]:
    """What one of our processes logged; None: the audit, which is nobody's alone."""
    attributes = [_attribute("service.name", APP), _attribute("host.name", host)]
    if process is None:
        scope = {"scope": {"name": "beffroi.audit"}, "logRecords": [_event(line) for line in lines]}
    else:
        attributes.append(_attribute("service.instance.id", process))
        scope = {"scope": {"name": "beffroi.logs"}, "logRecords": [_log(line) for line in lines]}
    return {"resource": {"attributes": attributes}, "scopeLogs": [scope]}


def _event(line: Mapping[str, Any]) -> dict[str, Any]:
    action = str(line["action"])
    severity = _WARN if is_refusal(action) else _INFO
    told = [_attribute(f"beffroi.{name}", line[name]) for name in _ATTRIBUTES if line.get(name) is not None]
    body = json.dumps(line, separators=(",", ":"), sort_keys=True)
    return {"eventName": action, **_record(line, severity, body, told)}


def _log(line: Mapping[str, Any]) -> dict[str, Any]:
    names = {"pid": "process.pid", "errors": "exception.stacktrace", "dropped": "beffroi.dropped"}
    told = [_attribute(called, line[name]) for name, called in names.items() if line.get(name) is not None]
    told.append(_attribute("beffroi.logger", line["logger"]))
    return _record(line, _LEVELS.get(line["level"], _INFO), str(line["text"]), told)


def _record(
    line: Mapping[str, Any], severity: tuple[int, str], body: str, attributes: list[dict[str, Any]]
) -> dict[str, Any]:
    at = datetime.fromisoformat(str(line["at"]))
    nanoseconds = str((at - _EPOCH) // (_EPOCH.resolution) * 1000)
    return {
        "timeUnixNano": nanoseconds,
        "observedTimeUnixNano": nanoseconds,
        "severityNumber": severity[0],
        "severityText": severity[1],
        "body": {"stringValue": body},
        "attributes": attributes,
    }


def _attribute(name: str, value: object) -> dict[str, Any]:
    """64-bit numbers are texts in this JSON, as in all of Protocol Buffers' JSON."""
    return {"key": name, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": str(value)}}
