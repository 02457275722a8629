"""What `/metrics` tells: vLLM's names, in Prometheus' text format."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

LATENCIES = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0)
FIRST_TOKENS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0)
TOKENS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0, 20000.0)
SEQUENCES = (1.0, 2.0, 5.0, 10.0, 20.0)
GAPS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)


class Histogram:
    """How often a value (seconds, tokens) was at most each of some bounds."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, so many times."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._sum += value * times

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """Its samples; each bucket counts those below it too."""
        sums = list(accumulate(self._counts))
        for bound, count in zip((*map(str, self._bounds), "+Inf"), sums, strict=True):
            yield f'{name}_bucket{{{labels},le="{bound}"}} {count}'
        yield f"{name}_count{{{labels}}} {sums[-1]}"
        yield f"{name}_sum{{{labels}}} {self._sum}"


@dataclass(slots=True)
class Counters:
    """vLLM's counters of one model, since the start: tokens, finished requests by their reason, and latencies.

    vLLM runs each choice of each prompt as a request of its own, so a prompt counts once a choice.  `abort` is never
    counted: requests that end so are no success.  Other than in vLLM an answer's latencies are counted when it ends,
    the gaps between its tokens as so many times their mean: a load test makes millions of them.
    """

    prompt: int = 0
    generated: int = 0
    cache_queries: int = 0
    cache_hits: int = 0
    finished: dict[str, int] = field(default_factory=lambda: {"stop": 0, "length": 0, "abort": 0})
    first_token: Histogram = field(default_factory=lambda: Histogram(FIRST_TOKENS))
    gap: Histogram = field(default_factory=lambda: Histogram(GAPS))
    whole: Histogram = field(default_factory=lambda: Histogram(LATENCIES))
    prompts: Histogram = field(default_factory=lambda: Histogram(TOKENS))
    """Prompt tokens of each choice that came to its end; what `prompt` has more was aborted, or is under way."""
    answers: Histogram = field(default_factory=lambda: Histogram(TOKENS))
    """Tokens that those choices made."""
    sequences: Histogram = field(default_factory=lambda: Histogram(SEQUENCES))
    """How many choices were asked for, once a prompt all of whose choices came to their end."""

    @property
    def queue(self) -> Histogram:
        """Nothing ever waits here."""
        found = Histogram(LATENCIES)
        found.observe(0.0, sum(self.finished.values()))
        return found


COUNTERS: dict[str, Callable[[Counters], int]] = {
    "prompt_tokens_total": lambda counted: counted.prompt,
    "generation_tokens_total": lambda counted: counted.generated,
    "prefix_cache_queries_total": lambda counted: counted.cache_queries,
    "prefix_cache_hits_total": lambda counted: counted.cache_hits,
}
HISTOGRAMS: dict[str, Callable[[Counters], Histogram]] = {
    "time_to_first_token_seconds": lambda counted: counted.first_token,
    "inter_token_latency_seconds": lambda counted: counted.gap,
    "request_queue_time_seconds": lambda counted: counted.queue,
    "e2e_request_latency_seconds": lambda counted: counted.whole,
    "request_prompt_tokens": lambda counted: counted.prompts,
    "request_generation_tokens": lambda counted: counted.answers,
    "request_params_n": lambda counted: counted.sequences,
}


def render(began_at: float, gauges: dict[str, dict[str, float]], counters: dict[str, Counters]) -> str:
    """The text: when the process began (Unix seconds), gauges (name to model to value), each model's counters."""
    labels = {model: f'engine="0",model_name="{model}"' for model in counters}
    lines = ["# TYPE process_start_time_seconds gauge", f"process_start_time_seconds {began_at}"]
    for name, values in gauges.items():
        lines.append(f"# TYPE vllm:{name} gauge")
        lines += [f"vllm:{name}{{{labels[model]}}} {value}" for model, value in values.items()]
    for name, value_of in COUNTERS.items():
        lines.append(f"# TYPE vllm:{name} counter")
        lines += [f"vllm:{name}{{{labels[model]}}} {value_of(counted)}" for model, counted in counters.items()]
    lines.append("# TYPE vllm:request_success_total counter")
    for model, counted in counters.items():
        for reason, count in counted.finished.items():
            lines.append(f'vllm:request_success_total{{{labels[model]},finished_reason="{reason}"}} {count}')
    for name, histogram_of in HISTOGRAMS.items():
        lines.append(f"# TYPE vllm:{name} histogram")
        for model, counted in counters.items():
            lines += histogram_of(counted).lines(f"vllm:{name}", labels[model])
    return "\n".join(lines) + "\n"
