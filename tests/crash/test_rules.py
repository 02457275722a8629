"""The campaign's judge can condemn: a forged history for each rule, beside one in which all is right."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from billing.pricing import Prices, Quantities, price_of
from tests.crash.clients import CHAT, Saw, Transcript, Wish
from tests.crash.evidence import Case, HoldStory, Record
from tests.crash.journals import Attempt
from tests.crash.rules import TABLE, violations_of
from tests.support.ledger import PRICES

BILLED = Prices(1, PRICES)
REQUEST, LABEL = "01a1fcf6-5e8f-7a0a-897e-665d9eac140f", "t1"
PROMPT, MADE, SEEN, CHECKPOINT = 8, 30, 20, 12
PLENTY = 10**9

Change = Callable[[Case], None]


def quantities(completion: int, prompt: int = PROMPT) -> Quantities:
    return Quantities(input=prompt, output=completion)


def record(status: str, completion: int, prompt: int = PROMPT) -> Record:
    charged = quantities(completion, prompt)
    return Record(REQUEST, LABEL, status, 200, charged, price_of(charged, BILLED)[0], 0, 1.0, 9.0)


def history(status: str, saw: Saw, completion: int, prompt: int = PROMPT, fault: str = "", error: str = "") -> Case:
    """A request as it may be: held at 1, its first byte at 2, recorded at 9, over for its client at 10."""
    is_whole = saw is Saw.WHOLE
    told = Transcript(LABEL, "armed", Wish(CHAT, {}, stream=True, fault=fault), 0.5, ended_at=10.0)
    if saw is not Saw.NOTHING:
        told.request_id, told.first_byte_at, told.status = REQUEST, 2.0, 503 if saw is Saw.REFUSED else 200
    if saw in (Saw.PART, Saw.ERROR, Saw.WHOLE):
        told.tokens = {0: MADE if is_whole else SEEN}
    told.has_done = told.is_whole = is_whole
    told.error, told.left = error, status.startswith("client_left")
    usage = {"prompt_tokens": PROMPT, "completion_tokens": MADE, "told": True} if is_whole else None
    attempt = Attempt("east", REQUEST, CHAT, True, PROMPT, 1.5, {0: MADE}, usage=usage)
    story = HoldStory([1.0], PLENTY, 1, [(5.0, quantities(CHECKPOINT))], [9.0], 1)
    return Case(REQUEST, told, [attempt], record(status, completion, prompt), story)


def undelivered() -> Case:
    case = history("undelivered", Saw.REFUSED, 0, 0, error="settlement_delayed")
    case.was_unconfirmed = True
    return case


RIGHT = {
    "completed": lambda: history("completed", Saw.WHOLE, MADE),
    "client_left": lambda: history("client_left", Saw.PART, SEEN + 1),
    "engine_died": lambda: history("engine_died", Saw.ERROR, SEEN, error="engine_failed"),
    "engine_failed": lambda: history("engine_failed", Saw.REFUSED, 0, 0, error="engine_failed"),
    "engine_refused": lambda: history("engine_refused", Saw.REFUSED, 0, 0, error="rejected_by_engine"),
    "gateway_lost": lambda: history("gateway_lost", Saw.PART, CHECKPOINT),
    "unmetered": lambda: history("unmetered", Saw.WHOLE, 0, 0, fault="no_usage"),
    "zero_usage": lambda: history("zero_usage", Saw.WHOLE, 0, 0, fault="zero_usage"),
    "clamped": lambda: history("clamped", Saw.WHOLE, 25, fault="nonsense_usage"),
    "client_left_early": lambda: history("client_left_early", Saw.NOTHING, 0, 0),
    "undelivered": undelivered,
}


def broken_rules(case: Case) -> set[str]:
    return {violation.rule for violation in violations_of(case, BILLED)}


def test_every_status_of_the_ledger_has_a_row() -> None:
    assert RIGHT.keys() == TABLE.keys()


@pytest.mark.parametrize("status", RIGHT)
def test_what_is_right_is_not_condemned(status: str) -> None:
    assert violations_of(RIGHT[status](), BILLED) == []


def charged(completion: int, prompt: int = PROMPT) -> Change:
    def change(case: Case) -> None:
        assert case.record is not None
        case.record = record(case.record.status, completion, prompt)

    return change


@pytest.mark.parametrize(
    ("status", "change"),
    [
        ("completed", charged(MADE + 1)),
        ("completed", charged(MADE - 1)),
        ("completed", charged(MADE, PROMPT + 1)),
        ("client_left", charged(SEEN - 1)),
        ("client_left", charged(MADE + 1)),
        ("client_left", charged(SEEN, 0)),
        ("engine_died", charged(SEEN - 1)),
        ("engine_died", charged(MADE + 1)),
        ("engine_failed", charged(1)),
        ("engine_refused", charged(1)),
        ("gateway_lost", charged(CHECKPOINT - 1)),
        ("gateway_lost", charged(CHECKPOINT + 1)),
        ("unmetered", charged(1)),
        ("zero_usage", charged(1)),
        ("client_left_early", charged(1)),
        ("undelivered", charged(1)),
    ],
)
def test_a_wrong_charge_breaks_the_rule_of_its_status(status: str, change: Change) -> None:
    case = RIGHT[status]()
    change(case)
    assert any(f") {status}" in rule or rule.endswith(f"(I1) {status}") for rule in broken_rules(case))


@pytest.mark.parametrize("status", ["gateway_lost", "client_left", "engine_died", "engine_failed", "undelivered"])
def test_a_whole_answer_breaks_the_rule_of_one_that_has_no_end(status: str) -> None:
    case = RIGHT[status]()
    whole = RIGHT["completed"]()
    case.transcript, case.attempts = whole.transcript, whole.attempts
    assert "I2 whole" in broken_rules(case)


def changed(name: str, **values: object) -> Change:
    """A change of the case's part of that name."""

    def change(case: Case) -> None:
        part = getattr(case, name)
        setattr(case, name, replace(part, **values))

    return change


def without(name: str, nothing: object = None) -> Change:
    def change(case: Case) -> None:
        setattr(case, name, nothing)

    return change


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("I2 once", changed("hold", recorded=[9.0, 9.1])),
        ("I2 once", changed("hold", held=[1.0, 1.1])),
        ("I2 record", without("record")),
        ("I2 no record without a request", without("transcript")),
        ("I2 no record without a hold", changed("hold", held=[])),
        ("I1 hold before byte", changed("hold", held=[2.5])),
        ("I1 charge before end", changed("hold", recorded=[10.5])),
        ("I2 status", changed("record", status="settled_somehow")),
        ("I2 record", changed("record", label="t2")),
        ("I4 cost", changed("transcript", cost=1)),
        ("I2 whole", changed("transcript", usage={"prompt_tokens": PROMPT, "completion_tokens": 1})),
        ("I2 whole", changed("record", status="zero_usage")),
        ("I4 price", changed("record", cost=1)),
        ("I4 price", changed("record", quantities=quantities(MADE)._replace(images=1))),
        ("I3 hold", changed("hold", amount=1)),
        ("I3 hold", changed("record", uncharged=1)),
    ],
)
def test_a_forged_answer_is_condemned(rule: str, change: Change) -> None:
    case = RIGHT["completed"]()
    change(case)
    assert rule in broken_rules(case)


def withheld(error: str = "settlement_delayed", *, was_unconfirmed: bool = True, gives_back: bool = True) -> Case:
    case = history("completed", Saw.REFUSED, MADE, error=error)
    case.attempts = RIGHT["completed"]().attempts
    case.was_unconfirmed = was_unconfirmed
    if gives_back and case.record is not None:
        case.refunded = case.record.cost
    return case


def test_a_charge_of_an_answer_that_was_withheld_is_given_back() -> None:
    assert not broken_rules(withheld())
    assert broken_rules(withheld(gives_back=False)) == {"I1 refused"}
    assert "I1 refused" in broken_rules(withheld("engine_failed", gives_back=False))


def test_a_gateway_that_is_lost_cannot_give_back() -> None:
    case = withheld(gives_back=False)
    case.was_lost = True
    assert not broken_rules(case)


def test_an_answer_is_withheld_only_when_its_charge_is_late() -> None:
    assert broken_rules(withheld(was_unconfirmed=False)) == {"I1 withheld"}


def test_nothing_is_given_back_for_an_answer_that_was_delivered() -> None:
    case = RIGHT["completed"]()
    case.refunded = 1
    assert broken_rules(case) == {"I1 refund"}


def test_what_was_not_admitted_may_not_reach_an_engine() -> None:
    case = history("engine_failed", Saw.REFUSED, 0, 0, error="ledger_unavailable")
    assert "I1 hold before engine" in broken_rules(case)
    case.attempts = []
    assert not broken_rules(case)


def test_a_lost_gateways_stream_is_charged_what_a_checkpoint_had_to_know() -> None:
    case = RIGHT["gateway_lost"]()
    case.fresh = CHECKPOINT + 1
    assert "I2 (d) gateway_lost" in broken_rules(case)


def test_a_request_that_reached_an_engine_and_was_never_recorded_is_condemned() -> None:
    case = RIGHT["client_left"]()
    case.record, case.hold = None, HoldStory()
    assert broken_rules(case) == {"I2 record", "I1 hold before byte"}
