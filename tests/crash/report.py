"""What a campaign says at its end."""

from collections import Counter
from collections.abc import Iterator

from tests.crash.campaign import Result
from tests.crash.plan import Point


def lines(result: Result) -> Iterator[str]:
    """The table of what was struck, the sums that were compared, and the verdict."""
    yield from _rounds(result)
    yield from _sums(result)
    yield from _verdict(result)


def _rounds(result: Result) -> Iterator[str]:
    done: Counter[tuple[str, str, str]] = Counter()
    hits: Counter[tuple[str, str, str]] = Counter()
    requests: Counter[tuple[str, str, str]] = Counter()
    for outcome in result.outcomes:
        choice = outcome.choice
        place = (choice.point.value, choice.victim.value, choice.way.value)
        done[place] += 1
        hits[place] += outcome.struck_at is not None
        requests[place] += outcome.requests
    order = {point.value: number for number, point in enumerate(Point)}
    yield f"{'point':36} {'victim':10} {'way':18} {'rounds':>7} {'hit':>5} {'requests':>9}"
    for place in sorted(done, key=lambda place: (order[place[0]], *place[1:])):
        yield f"{place[0]:36} {place[1]:10} {place[2]:18} {done[place]:7} {hits[place]:5} {requests[place]:9}"


def _sums(result: Result) -> Iterator[str]:
    watch = result.watch
    assert watch is not None
    sums = watch.sums
    yield ""
    yield f"{'status':18} {'records':>8} {'tokens in journals':>19} {'tokens charged':>15} {'difference':>11}"
    for status, count in sorted(sums.records.items()):
        made, charged = sums.made[status], sums.charged[status]
        yield f"{status:18} {count:8} {made:19} {charged:15} {made - charged:11}"
    made, charged = sums.made.total(), sums.charged.total()
    yield f"{'all':18} {sums.records.total():8} {made:19} {charged:15} {made - charged:11}"
    seen = ", ".join(f"{count} {what}" for what, count in sums.saw.most_common())
    yield f"{len(watch.transcripts)} requests of clients, who saw: {seen}"
    yield f"{watch.sums.refunds} withheld answers whose charge was given back"
    yield f"the oldest hold without a live owner: {watch.oldest_orphan_s:.1f} s"
    for told in result.long_streams:
        assert told.ended_at is not None
        yield f"a stream of {told.ended_at - told.begun_at:.0f} s, {told.all_tokens} tokens: {told.saw}"


def _verdict(result: Result) -> Iterator[str]:
    yield ""
    never = [point.value for point, hits in result.hits.items() if not hits]
    if never:
        yield f"never hit: {', '.join(never)}"
    yield (
        f"seed {result.seed}: {len(result.outcomes)} rounds in {result.seconds:.0f} s, "
        f"{sum(outcome.struck_at is not None for outcome in result.outcomes)} hit, {len(result.violations)} violations"
    )
