"""What is aimed at with a model, and whether its last 24 hours met it."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.pools.availability import Share, day_since, outcomes_of
from gateway.pools.health import models_health
from gateway.pools.models import ModelProbe
from gateway.pools.targets import Day, Targets, day_of, last_day, set_targets
from identity.errors import Forbidden, Invalid
from identity.models import AuditEvent, OperatorRole
from identity.operators import operator_for_person
from models_catalog.models import LanguageModel
from tests.support.ledger import make_model
from tests.support.operators import RUNS
from tests.support.people import make_operator

pytestmark = pytest.mark.usefixtures("database")


def probed(*first_tokens: int | None, outcome: str = "failed", ago: timedelta = timedelta(minutes=2)) -> LanguageModel:
    """A published model with a probe a minute; None: it did not answer."""
    model, now = make_model(published_at=datetime.now(UTC)), datetime.now(UTC).replace(second=0, microsecond=0)
    ModelProbe.objects.bulk_create(
        ModelProbe(
            model=model,
            minute=now - ago - timedelta(minutes=number),
            outcome="answered" if first is not None else outcome,
            first_token_ms=first,
        )
        for number, first in enumerate(first_tokens)
    )
    return model


def of_last_day(model: LanguageModel) -> Day:
    now = datetime.now(UTC)
    known = last_day([model.pk], now=now)[model.pk]
    # The model's page reckons from the probes that it has in hand: both must say the same.
    assert day_of(outcomes_of(model.pk, since=day_since(now), until=now).values()) == known
    return known


def test_the_day_is_the_share_of_minutes_and_what_95_of_100_kept() -> None:
    assert of_last_day(probed(*range(1, 101))) == Day(Share(100, 100), 95)
    assert of_last_day(probed(100, 300, None, 200)) == Day(Share(3, 4), 300)
    assert of_last_day(probed()) == Day(Share(0, 0), None)
    assert of_last_day(probed(100, None, outcome="")) == Day(Share(1, 1), 100)  # a minute that nobody saw to its end
    assert of_last_day(probed(100, ago=timedelta(hours=25))) == Day(Share(0, 0), None)


@pytest.mark.parametrize(
    ("targets", "met"),
    [
        (Targets(), None),
        (Targets(7_500), True),
        (Targets(7_501), False),
        (Targets(None, 300), True),
        (Targets(None, 299), False),
        (Targets(7_500, 299), False),
        (Targets(7_501, 300), False),
        (Targets(7_500, 300), True),
    ],
)
def test_a_target_is_met_to_the_last_hundredth_and_missed_below(targets: Targets, met: bool | None) -> None:
    assert Day(Share(3, 4), 300).met(targets) is met
    assert Day(Share(0, 0), None).met(targets) is None
    assert Day(Share(0, 4), None).met(Targets(None, 300)) is None  # nothing answered: the share tells


def test_targets_are_set_once_audited_and_taken_away() -> None:
    model = make_model()
    assert set_targets(model, targets=Targets(9_990, 800), by=RUNS)
    assert not set_targets(model, targets=Targets(9_990, 800), by=RUNS)
    assert (model.target_answered, model.target_first_token_ms) == (9_990, 800)
    assert set_targets(model, targets=Targets(), by=RUNS)
    told = AuditEvent.objects.filter(action="model.targets_changed", target=str(model.pk)).order_by("pk")
    assert [event.detail["after"]["target_answered"] for event in told] == [9_990, None]
    for wrong in (Targets(0), Targets(10_001), Targets(None, 0)):
        with pytest.raises(Invalid):
            set_targets(model, targets=wrong, by=RUNS)
    with pytest.raises(Forbidden):
        set_targets(model, targets=Targets(1), by=operator_for_person(make_operator(OperatorRole.SUPPORT)))


def test_health_tells_of_a_published_model_without_any_engine() -> None:
    model = probed(None, None)
    set_targets(model, targets=Targets(9_990), by=RUNS)
    [found] = [one for one in models_health(datetime.now(UTC)) if one.id == model.pk]
    assert (found.state, found.answers, found.is_met) == ("away", False, False)
