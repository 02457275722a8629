"""Headers that answers carry beside their content: limits, lifecycle, CORS."""

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from gateway.relay.admission import Plan
from gateway.relay.http_message import Header, HttpRequest
from gateway.relay.snapshot import Model
from models_catalog.lifecycle import deprecation_headers

if TYPE_CHECKING:
    from gateway.relay.gateway import Gateway

STREAM_HEADERS: list[Header] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


def headers_of_answer(plan: Plan, gateway: "Gateway") -> list[Header]:
    """What every answer of a model says: the tightest limits, a lowered output limit, the model's end."""
    headers = limit_headers(plan.standing)
    if plan.was_lowered and plan.output is not None:
        headers.append((b"x-beffroi-max-tokens", b"%d" % plan.output))
    successor = gateway.snapshot.successor(plan.model, plan.caller.tenant, gateway.ledger.now())
    return headers + lifecycle_headers(plan.model, successor)


def limit_headers(standing: Mapping[str, list[int]] | None) -> list[Header]:
    """`x-ratelimit-*` from {"requests": [limit, remaining, seconds], "tokens": ...}, as OpenAI sends them."""
    headers: list[Header] = []
    for what, (limit, remaining, seconds) in (standing or {}).items():
        name = what.encode()
        headers += (
            (b"x-ratelimit-limit-" + name, b"%d" % limit),
            (b"x-ratelimit-remaining-" + name, b"%d" % remaining),
            (b"x-ratelimit-reset-" + name, _duration(seconds)),
        )
    return headers


def lifecycle_headers(model: Model, successor: str) -> list[Header]:
    """Deprecation (RFC 9745), Sunset (RFC 8594) and the successor's link, for a model on its way out (X3)."""
    if model.deprecated_on is None:
        return []
    link = f"/v1/models/{quote(successor)}" if successor else ""
    found = deprecation_headers(model.deprecated_on, model.retired_on, f"/api/models/{quote(model.name)}", link)
    return [(name.lower().encode(), value.encode()) for name, value in found]


def cors_headers(origin: bytes | None) -> list[Header]:
    """For a browser whose origin the key lists."""
    if origin is None:
        return []
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", b"*"),
        (b"vary", b"origin"),
    ]


def preflight_headers(request: HttpRequest) -> list[Header]:
    """The answer to a browser's question (Fetch, CORS-preflight) from an origin that some key lists.

    It may send what it asks for, as every client library has headers of its own: what a request may do is decided by
    its key.
    """
    return [
        (b"access-control-allow-origin", request.header(b"origin") or b""),
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", request.header(b"access-control-request-headers") or b"authorization"),
        (b"access-control-max-age", b"600"),
        (b"vary", b"origin, access-control-request-headers"),
    ]


def _duration(seconds: int) -> bytes:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, b"%dh"), (minutes, b"%dm"))
    return b"".join(form % amount for amount, form in parts if amount) + b"%ds" % seconds
