"""Faults and speeds that a request, or the command line, asks the simulated engine for.

Three places, the later winning: the flags `--fault key=value` (applied to the share `--fault-rate` of the requests),
the request header `x-simulate: key=value,key=value` (values may be percent-encoded; a key alone means true) and the
body member `"simulate": {"key": value}`, which passes through a gateway that hands on unknown members.  An unknown key
or an unusable value is a 400, so that a misspelt test cannot pass by accident.
"""

from typing import Any, Literal
from urllib.parse import unquote

import msgspec


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do differently.  "Events" are SSE data events, counted from 1; times are milliseconds."""

    status: int | None = None
    """Answer with this HTTP status and a body shaped as vLLM's errors."""
    retry_after: int | None = None
    """With `status`: a `retry-after` header of so many seconds."""
    close_before: bool = False
    """Close the connection instead of answering."""
    close_after: int | None = None
    """Close after so many events (a whole answer: after so many bytes of its body)."""
    reset: bool = False
    """With `close_*`: reset the connection (RST) instead of ending it."""
    hang_before: bool = False
    """Never answer; the connection stays open."""
    hang_after: int | None = None
    """Send nothing more after so many events (a whole answer: after so many bytes of its body)."""
    garbage: Literal["http", "json", "sse", "length", "chunk", "empty"] | None = None
    """`http`: bytes that are no HTTP. `json`: invalid JSON as the body, or as every event. `sse`: lines that are no SSE
    fields.
    `length`: fewer bytes than announced, then the end. `chunk`: a chunk size that is no number. `empty`: 200 with no
    body."""
    no_usage: bool | Literal["final", "continuous"] = False
    """Leave out every usage, only the final one, or only that of the single events."""
    zero_usage: bool = False
    """Report 0 in every usage."""
    nonsense_usage: Literal["huge", "negative", "strings", "nulls", "list", "float"] | None = None
    """Report numbers that cannot be, or things that are no numbers."""
    no_done: bool = False
    """End a stream without `data: [DONE]`."""
    first_token_ms: float | None = None
    tokens_per_second: float | None = None
    """0 is as fast as possible."""
    output_tokens: int | None = None
    """How long the answer is, the token that ends it included; limits of the request still cut it."""
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    chunk_tokens: int = 1
    """Tokens an event carries."""
    split: int | None = None
    """Write the response in pieces of so many bytes, one a turn of the event loop."""
    batch: int | None = None
    """Write so many events at once."""
    event_error_after: int | None = None
    """After so many events send an error as an event, as vLLM does, then `[DONE]`."""
    slow_headers: float | None = None
    """Write the response's head in 8 pieces with this pause between them."""
    chunk_text: str | None = None
    """The text of every content token."""
    crlf: bool = False
    """End SSE lines with CR LF."""
    comments: int | None = None
    """An SSE comment before every so many events."""


NO_FAULTS = Faults()


class UnusableFault(ValueError):
    """A key that does not exist or a value that does not fit it; the text is for the person who wrote the test."""


def parse_pairs(pairs: list[str]) -> dict[str, Any]:
    """`["status=500", "crlf"]` as a dictionary of strings (a key alone: "true")."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, separator, value = pair.strip().partition("=")
        if key:
            found[key.strip()] = unquote(value.strip()) if separator else "true"
    return found


def make(*places: dict[str, Any]) -> Faults:
    """The faults of several places, the later winning.  Raises UnusableFault."""
    merged: dict[str, Any] = {}
    for place in places:
        merged.update(place)
    if not merged:
        return NO_FAULTS
    try:
        return msgspec.convert(_plain(merged), Faults, strict=False)
    except msgspec.ValidationError as error:
        raise UnusableFault(f"simulate: {error}") from error


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Header values are strings: those of `no_usage` that mean a boolean are turned into one (its other values are
    words)."""
    words = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(values.get("no_usage"), str):
        return values | {"no_usage": words.get(values["no_usage"], values["no_usage"])}
    return values
