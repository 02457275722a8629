"""An instance of a JSON schema: what the simulated engine puts in tool arguments and in `response_format:
json_schema`."""

from typing import Any

MAX_DEPTH = 12
"""A recursive schema is cut here with null."""

_STRINGS = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "email": "alice@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}


def instance(schema: object, root: dict[str, Any] | None = None, depth: int = 0) -> object:
    """A small value that the schema accepts.

    Understands type, properties, items, enum, const, default, anyOf/oneOf/allOf, local $ref, lengths and bounds; other
    keywords are not looked at.
    """
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return None
    root = schema if root is None else root
    if isinstance(schema.get("$ref"), str):
        return instance(_resolve(schema["$ref"], root), root, depth + 1)
    for member in ("const", "default"):
        if member in schema:
            return schema[member]
    if schema.get("enum"):
        return schema["enum"][0]
    for member in ("anyOf", "oneOf", "allOf"):
        if schema.get(member):
            return instance(schema[member][0], root, depth + 1)
    return _typed(schema, root, depth)


def _typed(schema: dict[str, Any], root: dict[str, Any], depth: int) -> object:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        members = schema.get("properties") or {}
        return {name: instance(member, root, depth + 1) for name, member in members.items()}
    if kind == "array":
        return [instance(schema.get("items", {}), root, depth + 1) for _ in range(max(1, schema.get("minItems", 1)))]
    if kind in ("integer", "number"):
        return _number(schema)
    if kind == "string":
        return _string(schema)
    return True if kind == "boolean" else None


def _number(schema: dict[str, Any]) -> int | float:
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + 1
    if low is None and high is None:
        return 42
    bound = high if low is None else low
    return bound if isinstance(bound, int | float) else 42


def _string(schema: dict[str, Any]) -> str:
    text = _STRINGS.get(schema.get("format", ""), "simulated")
    text = text.ljust(schema.get("minLength", 0), ".")
    return text[: schema["maxLength"]] if "maxLength" in schema else text


def _resolve(reference: str, root: dict[str, Any]) -> object:
    found: object = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(name) if name and isinstance(found, dict) else found
    return found
