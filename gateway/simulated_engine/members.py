"""Members of a request as vLLM reads them: leniently, because pydantic coerces what resembles the wanted type.

So `"7"`, `7.0` and `true` are integers and `"yes"` is true, and the engine does what they resemble.
"""

import math
import re
from typing import Any

from gateway.simulated_engine.work import Refusal

TRUE = frozenset(("true", "t", "yes", "y", "on", "1"))
FALSE = frozenset(("false", "f", "no", "n", "off", "0"))
LONGEST_NUMBER = 400
"""Characters; a longer string is no number."""

_INTEGER = re.compile(r"[+-]?[0-9]+(?:\.0*)?")


def integer(value: object) -> int | None:
    """The integer that a value is or resembles (a boolean, a whole float, a decimal string); None where it does not."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if not isinstance(value, str) or len(value) > LONGEST_NUMBER:
        return None
    found = _INTEGER.fullmatch(value.strip())
    return int(found[0].partition(".")[0]) if found else None


def number(body: dict[str, Any], name: str, default: int, least: int | None) -> int:
    """An integer member, or `default` where it is missing or null; `least` None: any.  Raises Refusal."""
    value = body.get(name)
    if value is None:
        return default
    found = integer(value)
    if found is None:
        raise Refusal(400, f"{name}: Input should be a valid integer", param=name)
    if least is not None and found < least:
        raise Refusal(400, f"{name} must be at least {least}, got {found}.", param=name)
    return found


def decimal(body: dict[str, Any], name: str, default: float) -> float:
    """A finite member that need not be whole, or `default` where it is missing or null.  Raises Refusal."""
    value = body.get(name)
    if value is None:
        return default
    try:
        found = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise Refusal(400, f"{name}: Input should be a valid number", param=name)
    return found


def flag(body: dict[str, Any], name: str, *, default: bool = False) -> bool:
    """A boolean member, or `default` where it is missing or null.  Raises Refusal."""
    value = body.get(name)
    if isinstance(value, bool):
        return value
    if value is None:
        return default
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    word = value.lower() if isinstance(value, str) else ""
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise Refusal(400, f"{name}: Input should be a valid boolean", param=name)
