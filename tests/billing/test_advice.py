"""Advice that saves money: only what the figures say, each amount in the arithmetic that bills."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.pricing import Prices
from billing.usage.advice import Advice, CheaperModel, LowerOutputLimit, MoreFromCache, Offer, advice
from billing.usage.records import Reader
from models_catalog.models import LanguageModel
from tests.support.history import History, history_of
from tests.support.ledger import House, make_house, make_model

NOW = datetime.now(UTC)
EURO = 10**9


@pytest.fixture
def house(database: None) -> House:
    return make_house(time_zone="UTC")


@pytest.fixture
def history(house: House, owner_database_url: str) -> Iterator[History]:
    with history_of(house, owner_database_url) as history:
        yield history


def offer(
    billions: int, *, euros: int, cached: int | None = None, model: LanguageModel | None = None, **fields: object
) -> Offer:
    """A model of so many parameters, at `euros` a million tokens in and out."""
    model = model or make_model()
    for name, value in {"parameters_billion": Decimal(billions), "capabilities": [], **fields}.items():
        setattr(model, name, value)
    prices = {"input": euros * EURO, "output": euros * EURO}
    return Offer(model, Prices(1, prices if cached is None else prices | {"cached": cached * EURO}))


def found(house: House, *offers: Offer, reader: Reader | None = None) -> Advice:
    return advice(reader or Reader(house.tenant.pk), offers, today=NOW.date(), time_zone="UTC")


def use(house: House, history: History, model: LanguageModel, requests: int = 1) -> None:
    """100 tokens in and 50 out each."""
    key = house.key().row
    for number in range(requests):
        history.record(key, NOW - timedelta(minutes=number), model=model)


def test_the_largest_smaller_model_that_saves_a_fifth_is_named(house: House, history: History) -> None:
    mine = offer(120, euros=1_000, model=house.model)
    use(house, history, mine.model, requests=4)
    tiny, fitting, dear = offer(1, euros=10), offer(30, euros=500), offer(100, euros=900)
    assert found(house, mine, tiny, fitting, dear).cheaper == [
        CheaperModel(mine.model.name, fitting.model.name, 600 * EURO // 1_000, 300 * EURO // 1_000)
    ]
    assert found(house, mine, dear).cheaper == []


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": LanguageModel.Kind.EMBEDDING},
        {"context_window": 1_000},  # its requests had 100 tokens in and might have had 1,024 out
        {"modalities": []},
        {"parameters_billion": None},
        {"parameters_billion": Decimal(500)},
        {"retired_on": NOW.date()},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_model_that_could_not_do_the_same_is_not_named(
    house: House, history: History, fields: dict[str, object]
) -> None:
    mine = offer(120, euros=1_000, model=house.model, modalities=["text"])
    use(house, history, mine.model)
    other = offer(30, euros=1, modalities=["text"])
    assert found(house, mine, other).cheaper
    for name, value in fields.items():
        setattr(other.model, name, value)
    assert found(house, mine, other).cheaper == []


def test_a_model_without_what_mine_can_do_is_not_named(house: House, history: History) -> None:
    mine = offer(120, euros=1_000, model=house.model, capabilities=["tools"])
    use(house, history, mine.model)
    assert found(house, mine, offer(30, euros=1)).cheaper == []
    assert found(house, mine, offer(30, euros=1, capabilities=["tools", "vision"])).cheaper


def test_long_prompts_that_are_not_cached_show_what_a_tenth_saves(
    house: House, history: History, owner_database_url: str
) -> None:
    mine = offer(7, euros=1_000, cached=100, model=house.model)
    use(house, history, mine.model)
    assert found(house, mine).cache == []  # 100 tokens are no long prompt
    history.owner.execute(
        "update billing_usage_day set input_quantity = 9000, cached_quantity = 1000 where tenant_id = %s",
        [house.tenant.pk],
    )
    assert found(house, mine).cache == [MoreFromCache(mine.model.name, 10_000, 1_000, 9 * EURO // 10)]
    assert found(house, offer(7, euros=1_000, model=house.model)).cache == []  # the cache costs as much here


def test_output_limits_far_above_what_is_used_show_what_they_reserve(house: House, history: History) -> None:
    mine = offer(7, euros=1_000, model=house.model)
    use(house, history, mine.model, requests=19)
    assert found(house, mine).limits == []  # too few to say so
    use(house, history, mine.model)
    assert found(house, mine).limits == [LowerOutputLimit(mine.model.name, 1_024, 50, 974 * EURO // 1_000)]


def test_a_member_of_one_project_is_advised_on_its_figures_alone_I6(house: House, history: History) -> None:
    mine = offer(120, euros=1_000, model=house.model)
    use(house, history, mine.model)
    elsewhere = Reader(house.tenant.pk, project_ids=frozenset({house.project_called("Mine").pk}))
    assert found(house, mine, offer(30, euros=1), reader=elsewhere) == Advice([], [], [])
