"""Prometheus' text format 0.0.4. Pure."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import accumulate

from gateway.metrics.families import FAMILIES, Family, Kind
from gateway.relay.counts import Series

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PROVIDER = "beffroi"  # OpenTelemetry's conventions want one: whom a client calls
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def exposition(figures: Iterable[Series]) -> str:
    """The page. A figure that has no family, or other labels or buckets than it, is of another release: left out."""
    found: dict[str, list[Series]] = {}
    for one in figures:
        family = FAMILIES.get(one.name)
        if family is not None and _fits(one, family):
            found.setdefault(one.name, []).append(one)
    lines: list[str] = []
    for name, family in FAMILIES.items():
        if name in found:
            lines += (f"# HELP {name} {family.help}", f"# TYPE {name} {family.kind}")
            for one in found[name]:
                lines += _lines(one, family)
    return "\n".join(lines) + "\n"


def _fits(one: Series, family: Family) -> bool:
    buckets = len(family.bounds) + 1 if family.bounds else 0
    return len(one.labels) == len(family.labels) and len(one.buckets) == buckets


def _lines(one: Series, family: Family) -> Iterator[str]:
    labels = [
        f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(family.labels, one.labels, strict=True) if value
    ]
    if one.name.startswith("gen_ai_"):
        labels.insert(0, f'gen_ai_provider_name="{PROVIDER}"')
    total = _shown(one.total, family.places)
    if family.kind is not Kind.HISTOGRAM:
        yield f"{one.name}{_braced(labels)} {total}"
        return
    bounds = [_shown(bound, family.places) for bound in family.bounds] + ["+Inf"]
    counts = list(accumulate(one.buckets))
    for bound, count in zip(bounds, counts, strict=True):
        within = [*labels, f'le="{bound}"']
        yield f"{one.name}_bucket{_braced(within)} {count}"
    yield f"{one.name}_sum{_braced(labels)} {total}"
    yield f"{one.name}_count{_braced(labels)} {counts[-1]}"


def _braced(labels: list[str]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""


def _shown(value: float, places: int) -> str:
    """In the unit that is shown, exactly: euros are no float before Prometheus makes them one."""
    shown = f"{Decimal(int(value) if value == int(value) else repr(value)).scaleb(-places):f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
