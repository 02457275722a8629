"""What a gateway process counts for `/metrics`: plain integers, as every request passes here. No I/O.

Names and buckets are those of OpenTelemetry's conventions for generative AI where these have one; what each figure
means, its unit and its labels: `gateway/metrics/families.py`. No label names a person, a key or a tenant (I6), and each
takes its values from a set that the operator or the code bounds (I8).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import msgspec

from gateway.relay.fields import Endpoint

if TYPE_CHECKING:
    from gateway.relay.admission import Plan
    from gateway.relay.ledger import Charge, Settlement
    from gateway.relay.routing import Replica

# Milliseconds; OpenTelemetry's buckets for gen_ai.server.*, whose longest is a little short for long answers.
DURATIONS = (10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10240, 20480, 40960, 81920, 163840, 327680)
FIRST_TOKENS = (1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
TOKEN_GAPS = (10, 25, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1000, 2500)
TOKENS = tuple(4**power for power in range(14))
# Of the ledger's two calls: a group commit takes milliseconds; a request gives up after 15 s, a charge after 60.
LEDGER_WAITS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 15000, 60000)

OPERATIONS = {
    Endpoint.CHAT.engine_path: "chat",
    Endpoint.COMPLETIONS.engine_path: "text_completion",
    Endpoint.EMBEDDINGS.engine_path: "embeddings",
    Endpoint.RERANK.engine_path: "rerank",
}
MOST_SERIES = 1_000  # of a counter whose labels come and go; what is beyond is counted together
OTHERS = "others"

Key = TypeVar("Key")


class Series(msgspec.Struct, array_like=True):
    """A counter's or a histogram's figures under its labels' values. `total` is the sum of what was observed, in the
    unit that the process counts in; `buckets` are not cumulative, one more than the bounds, and none for a counter.
    """

    name: str
    labels: tuple[str, ...]
    total: int | float
    buckets: list[int] = []


class Histogram:
    """How often a value fell between which bounds."""

    __slots__ = ("_bounds", "_buckets", "_total")

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self._bounds = bounds
        self._buckets = [0] * (len(bounds) + 1)
        self._total: int | float = 0

    def observe(self, value: float) -> None:
        """Count a value, in the bounds' unit."""
        self._buckets[bisect_left(self._bounds, value)] += 1
        self._total += value

    def series(self, name: str, *labels: str) -> Series:
        """The figures as they are now."""
        return Series(name, labels, self._total, self._buckets)


class _Operation:
    """What is counted of one kind of request to one model."""

    __slots__ = ("cached", "durations", "first_tokens", "gaps", "inputs", "outputs")

    def __init__(self) -> None:
        self.durations: dict[str, Histogram] = {}  # by the ledger's status
        self.first_tokens = Histogram(FIRST_TOKENS)
        self.gaps = Histogram(TOKEN_GAPS)
        self.inputs = Histogram(TOKENS)
        self.outputs = Histogram(TOKENS)
        self.cached = 0


class Counts:
    """The counters of a process. Money in nano-EUR, times in milliseconds."""

    def __init__(self) -> None:
        self._operations: dict[tuple[str, str], _Operation] = {}
        self._refusals: dict[str, int] = {}
        self._engine_failures: dict[tuple[str, str], int] = {}
        self.admissions = Histogram(LEDGER_WAITS)
        self.settlements = Histogram(LEDGER_WAITS)
        self.swept_holds = self.fenced_incarnations = self.charged_nano_eur = self.uncharged_nano_eur = 0

    def settled(self, plan: "Plan", settlement: "Settlement") -> None:
        """An admitted request is over: its charge is queued."""
        endpoint = plan.inference.endpoint
        key = (plan.model.name, endpoint.engine_path)  # an enum's member has a slow hash
        operation = self._operations.get(key)
        if operation is None:
            operation = self._operations[key] = _Operation()
        status, duration_ms, ttft_ms = settlement.status, settlement.duration_ms, settlement.ttft_ms
        durations = operation.durations.get(status)
        if durations is None:
            durations = operation.durations[status] = Histogram(DURATIONS)
        durations.observe(duration_ms)
        fresh, cached, output, reasoning, *_ = settlement.quantities
        output += reasoning
        if fresh or cached or output:
            operation.inputs.observe(fresh + cached)
            operation.cached += cached
            if endpoint.is_generating:
                operation.outputs.observe(output)
        if plan.inference.stream and ttft_ms is not None and status == "completed":
            operation.first_tokens.observe(ttft_ms)
            if output > 1:
                operation.gaps.observe((duration_ms - ttft_ms) / (output - 1))

    def charged(self, charges: Iterable["Charge"]) -> None:
        """The ledger took charges; those that it had before count once."""
        for charge in charges:
            if charge.verdict == "settled":
                self.charged_nano_eur += charge.cost_nano_eur or 0
                self.uncharged_nano_eur += charge.uncharged_nano_eur or 0

    def refused(self, reason: str) -> None:
        """A request was refused: `reason` is the code, or the type, of the refusal."""
        _add(self._refusals, reason, OTHERS)

    def engine_failed(self, replica: "Replica") -> None:
        """A replica did not answer as an engine should, be it a look."""
        _add(self._engine_failures, (replica.pool, replica.name), (OTHERS, OTHERS))

    def series(self) -> Iterator[Series]:
        """All figures as they are now."""
        for (model, path), operation in self._operations.items():
            yield from _series_of(operation, OPERATIONS[path], model)
        for reason, count in self._refusals.items():
            yield Series("beffroi_gateway_refusals_total", (reason,), count)
        for labels, count in self._engine_failures.items():
            yield Series("beffroi_gateway_engine_failures_total", labels, count)
        yield self.admissions.series("beffroi_gateway_admission_duration_seconds")
        yield self.settlements.series("beffroi_gateway_settlement_duration_seconds")
        yield Series("beffroi_ledger_swept_holds_total", (), self.swept_holds)
        yield Series("beffroi_ledger_fenced_incarnations_total", (), self.fenced_incarnations)
        yield Series("beffroi_ledger_charged_euros_total", (), self.charged_nano_eur)
        yield Series("beffroi_ledger_uncharged_euros_total", (), self.uncharged_nano_eur)


def _series_of(operation: _Operation, name: str, model: str) -> Iterator[Series]:
    for status, durations in operation.durations.items():
        error = "" if status == "completed" else status
        yield durations.series("gen_ai_server_request_duration_seconds", name, model, error)
    yield operation.first_tokens.series("gen_ai_server_time_to_first_token_seconds", name, model)
    yield operation.gaps.series("gen_ai_server_time_per_output_token_seconds", name, model)
    yield operation.inputs.series("gen_ai_client_token_usage", name, model, "input")
    yield operation.outputs.series("gen_ai_client_token_usage", name, model, "output")
    yield Series("beffroi_gateway_cached_input_tokens_total", (name, model), operation.cached)


def _add(counts: dict[Key, int], key: Key, others: Key) -> None:
    if key not in counts and len(counts) >= MOST_SERIES:
        key = others
    counts[key] = counts.get(key, 0) + 1


def add_up(series: Iterable[Series]) -> list[Series]:
    """One for each name and its labels' values. Where the buckets are not the same, those that came first stay."""
    sums: dict[tuple[str, tuple[str, ...]], Series] = {}
    for one in series:
        known = sums.setdefault((one.name, one.labels), Series(one.name, one.labels, 0, [0] * len(one.buckets)))
        if len(known.buckets) == len(one.buckets):
            known.total += one.total
            known.buckets = [sum(pair) for pair in zip(known.buckets, one.buckets, strict=True)]
    return list(sums.values())
