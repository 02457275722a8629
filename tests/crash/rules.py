"""Rule I2 as a table: what the engines' journals and the client's transcript allow each usage record to say.

Every status has a row: the least and the most that may be charged, and what the client may have seen. The letters are
those of the rule in the design. What holds for every request, whatever its status, follows the table.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from billing.pricing import MissingPrice, Prices, price_of
from tests.crash.clients import Saw, Transcript
from tests.crash.evidence import Case, Record

CLOCK_S = 0.05  # a row's time is that of its transaction's beginning, a client's that of its reading


class Tokens(NamedTuple):
    """Of the prompt and of the completion."""

    prompt: int
    completion: int


Bound = Callable[[Case], Tokens]
NONE = Tokens(0, 0)


@dataclass(frozen=True)
class Row:
    """What is right for one status."""

    letter: str
    least: Bound
    most: Bound
    client_may_have_seen: frozenset[Saw]
    errors_told: frozenset[str] = frozenset()


def nothing(_: Case) -> Tokens:
    """Not a token."""
    return NONE


def final_usage(case: Case) -> Tokens:
    """(a) What the engine that answered reports at its end: its `usage` line in the journal."""
    told = [attempt.usage for attempt in case.attempts if attempt.usage and attempt.usage["told"]]
    return Tokens(told[-1]["prompt_tokens"], told[-1]["completion_tokens"]) if told else Tokens(-1, -1)


def seen_by_client(case: Case) -> Tokens:
    """(b) At least what the client received: each of its events had reported its tokens to the gateway."""
    told = case.transcript
    if told is None or told.wish.fault in ("no_usage", "zero_usage"):
        return NONE
    return Tokens(1 if told.all_tokens else 0, told.all_tokens)


def on_the_wire(case: Case) -> Tokens:
    """(b) At most what an engine sent in any attempt, the sum over its choices."""
    prompt = max((attempt.prompt_tokens for attempt in case.attempts), default=0)
    return Tokens(prompt, max((attempt.tokens_on_wire for attempt in case.attempts), default=0))


def last_checkpoint(case: Case) -> Tokens:
    """(d) Exactly what was durable of it last."""
    if not case.hold.checkpoints:
        return NONE
    told = case.hold.checkpoints[-1][1]
    return Tokens(told.input + told.cached, told.output + told.reasoning)


def inside_the_hold(case: Case) -> Tokens:
    """(g) Nonsense is clamped; that its price is within the hold is looked at for every record."""
    return Tokens(2**31, 2**31)


_ENDED = frozenset({Saw.WHOLE, Saw.PART, Saw.NOTHING, Saw.ERROR})
_DELAYED = frozenset({"settlement_delayed"})

TABLE: dict[str, Row] = {
    "completed": Row("a", final_usage, final_usage, _ENDED | {Saw.REFUSED}, _DELAYED),
    "client_left": Row("b", seen_by_client, on_the_wire, frozenset({Saw.NOTHING, Saw.PART})),
    "engine_died": Row(
        "b", seen_by_client, on_the_wire, frozenset({Saw.NOTHING, Saw.PART, Saw.ERROR}), _DELAYED | {"engine_failed"}
    ),
    "engine_failed": Row(
        "c", nothing, nothing, frozenset({Saw.NOTHING, Saw.REFUSED, Saw.ERROR, Saw.PART}),
        frozenset({"engine_failed", "no_replica", "ledger_unavailable"}),
    ),
    "engine_refused": Row(
        "c", nothing, nothing, frozenset({Saw.NOTHING, Saw.REFUSED, Saw.ERROR}), frozenset({"rejected_by_engine"})
    ),
    "gateway_lost": Row(
        "d", last_checkpoint, last_checkpoint, frozenset({Saw.NOTHING, Saw.PART, Saw.REFUSED, Saw.ERROR}),
        _DELAYED | {"engine_failed", "no_replica", "ledger_unavailable"},
    ),
    "unmetered": Row("e", nothing, nothing, _ENDED | {Saw.REFUSED}, _DELAYED),
    "zero_usage": Row("f", nothing, nothing, _ENDED | {Saw.REFUSED}, _DELAYED),
    "clamped": Row("g", nothing, inside_the_hold, _ENDED | {Saw.REFUSED}, _DELAYED),
    "client_left_early": Row("h", nothing, nothing, frozenset({Saw.NOTHING})),
    "undelivered": Row("I1", nothing, nothing, frozenset({Saw.NOTHING, Saw.REFUSED}), _DELAYED),
}  # fmt: skip

# A whole answer of an engine that was asked to report wrongly has this status and no other.
STATUS_OF_FAULT = {"zero_usage": "zero_usage", "no_usage": "unmetered", "nonsense_usage": "clamped"}


@dataclass(frozen=True)
class Violation:
    """A rule that was broken, and by what."""

    rule: str
    what: str
    evidence: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n    ".join([f"VIOLATION {self.rule}: {self.what}", *self.evidence])


def violations_of(case: Case, prices: Prices) -> list[Violation]:
    """Everything that is wrong with a request that is over: its client is gone, and nothing of it is held."""
    evidence = tuple(case.told())
    return [Violation(rule, what, evidence) for rule, what in _wrongs(case, prices)]


def _wrongs(case: Case, prices: Prices) -> Iterator[tuple[str, str]]:
    yield from _once(case)
    yield from _hold_before_byte(case)
    if case.record is not None:
        yield from _by_status(case, case.record)
        yield from _by_client(case, case.record)
        yield from _money(case, case.record, prices)


def _once(case: Case) -> Iterator[tuple[str, str]]:
    """I2: each admitted request ends in exactly one record, and none is without a request."""
    if len(case.hold.held) > 1:
        yield "I2 once", f"it was held {len(case.hold.held)} times"
    if len(case.hold.recorded) > 1:
        yield "I2 once", f"it was recorded {len(case.hold.recorded)} times"
    if case.record is None and (case.attempts or case.hold.held):
        yield "I2 record", "it reached an engine or was held, and has no usage record"
    if case.record is None and case.transcript is not None and case.transcript.status == 200:
        yield "I2 record", "its client was answered, and it has no usage record"
    if case.record is not None and case.transcript is None:
        yield "I2 no record without a request", "nobody asked for it"
    if case.record is not None and not case.hold.held:
        yield "I2 no record without a hold", "it was never held"


def _hold_before_byte(case: Case) -> Iterator[tuple[str, str]]:
    """I1: no byte of an answer before the hold; no normal end before the charge."""
    told = case.transcript
    if told is None or told.status != 200 or told.first_byte_at is None:
        return
    if not case.hold.held or case.hold.held[0] > told.first_byte_at + CLOCK_S:
        yield "I1 hold before byte", "a byte reached the client before the hold"
    if told.saw is not Saw.WHOLE or told.ended_at is None:
        return
    if not case.hold.recorded or case.hold.recorded[0] > told.ended_at + CLOCK_S:
        yield "I1 charge before end", "the answer ended well before its charge"


def _by_status(case: Case, record: Record) -> Iterator[tuple[str, str]]:
    """The table."""
    row = TABLE.get(record.status)
    if row is None:
        yield "I2 status", f"there is no rule for {record.status}"
        return
    told = case.transcript
    fault = told.wish.fault if told is not None else ""
    rule = f"I2 ({row.letter}) {record.status}"
    is_nonsense = fault == "nonsense_usage"
    least, most = (NONE, inside_the_hold(case)) if is_nonsense else (row.least(case), row.most(case))
    charged = Tokens(record.prompt, record.completion)
    if not (
        least.prompt <= charged.prompt <= most.prompt and least.completion <= charged.completion <= most.completion
    ):
        yield rule, f"charged {charged}, allowed {least} to {most}"
    if charged.completion and not charged.prompt and not is_nonsense:
        yield rule, "output without a prompt was charged"
    if record.status == "gateway_lost" and case.fresh is not None and charged.completion < case.fresh:
        yield rule, f"{case.fresh} tokens were on the wire before its last checkpoint was due, {charged} are charged"
    if told is not None:
        yield from _as_seen(case, record, row, told)


def _as_seen(case: Case, record: Record, row: Row, told: Transcript) -> Iterator[tuple[str, str]]:
    """What the client of a request of this status may have seen, and been told."""
    rule = f"I2 ({row.letter}) {record.status}"
    if told.saw not in row.client_may_have_seen:
        yield rule, f"its client saw: {told.saw} {told.error}"
    if told.saw in (Saw.ERROR, Saw.REFUSED) and told.error not in row.errors_told:
        yield rule, f"its client was told {told.error}"
    if told.error == "ledger_unavailable" and case.attempts:
        yield "I1 hold before engine", "its client was told that it was not admitted, and an engine began it"
    if record.status in ("client_left", "client_left_early") and not (told.left or told.trouble):
        yield rule, "its client had not left"
    if record.status == "engine_failed" and told.all_tokens:
        yield rule, "its client received tokens"


def _by_client(case: Case, record: Record) -> Iterator[tuple[str, str]]:
    """What the client was told is what is recorded."""
    told = case.transcript
    if told is None:
        return
    if told.label != record.label:
        yield "I2 record", f"it is labelled {record.label}, its client's label is {told.label}"
    yield from _withheld(case, record, told)
    if told.saw is not Saw.WHOLE:
        return
    wanted = STATUS_OF_FAULT.get(told.wish.fault, "completed")
    if record.status != wanted:
        yield "I2 whole", f"its client has a whole answer: the status must be {wanted}, it is {record.status}"
    if told.cost is not None and told.cost != record.cost:
        yield "I4 cost", f"its client was told that it cost {told.cost}, charged are {record.cost} nano-EUR"
    if told.usage is not None and not told.wish.fault:
        shown = Tokens(told.usage["prompt_tokens"], told.usage.get("completion_tokens", 0))
        if shown != (record.prompt, record.completion):
            yield "I2 whole", f"its client was shown {shown}"


def _withheld(case: Case, record: Record, told: Transcript) -> Iterator[tuple[str, str]]:
    """I1: what is not delivered is free; it is withheld only where nobody knew of its charge in time.

    A gateway gives back what was charged for an answer that it withheld; one that is lost meanwhile cannot.
    """
    paid = record.cost - case.refunded
    if told.saw is Saw.REFUSED and paid and not (case.was_lost and told.error in _DELAYED):
        yield "I1 refused", f"its client was told {told.status} {told.error}, and paid {paid} nano-EUR"
    if told.saw is Saw.REFUSED and told.error in _DELAYED and not case.was_unconfirmed:
        yield "I1 withheld", "the answer was withheld before its charge was late"
    if case.refunded and (told.saw not in (Saw.REFUSED, Saw.NOTHING) or case.refunded != record.cost):
        yield "I1 refund", f"{case.refunded} of {record.cost} nano-EUR were given back to a client who saw {told.saw}"


def _money(case: Case, record: Record, prices: Prices) -> Iterator[tuple[str, str]]:
    """I3, I4: the price of what was used, never above the hold."""
    try:
        price = price_of(record.quantities, prices)[0]
    except MissingPrice as missing:
        yield "I4 price", str(missing)
        return
    if record.cost + record.uncharged != price:
        yield "I4 price", f"{record.quantities} cost {price}"
    if case.hold.held and record.cost > case.hold.amount:
        yield "I3 hold", f"{record.cost} was charged, {case.hold.amount} was held"
    if record.uncharged:
        yield "I3 hold", f"{record.uncharged} nano-EUR could not be charged: the hold was too low"
