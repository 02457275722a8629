"""What the gateway processes of this machine counted, added up (`gateway/relay/count_file.py`)."""

import time
from collections.abc import Iterable
from pathlib import Path

from gateway.metrics.families import FAMILIES
from gateway.relay.count_file import FRESH_S, read_counts
from gateway.relay.counts import Series, add_up


def gateway_figures(folder: Path) -> list[Series]:
    """Counts of all processes that ever were, gauges of those that are alive."""
    told = read_counts(folder)
    now = time.time()
    alive = [one for one in told if one.gauges and abs(now - one.at) < FRESH_S]
    figures = add_up(series for one in told for series in one.series())
    figures += add_up(series for one in alive for series in one.lines)
    figures.append(Series("beffroi_gateway_processes", (), len(alive)))
    for name in sorted({name for one in alive for name in one.gauges}):
        values = [one.gauges[name] for one in alive if name in one.gauges]
        figures.append(Series(name, (), _together(name, values)))
    return figures


def _together(name: str, values: Iterable[float]) -> float:
    family = FAMILIES.get(name)
    return max(values) if family is not None and family.is_greatest else sum(values)
