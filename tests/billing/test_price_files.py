"""Price lists as tables for spreadsheets; and the history of the reference service, which needs no code."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from billing.contracts.contracts import start_contract
from billing.contracts.tier_changes import TierWish, put_tier
from billing.models import PriceVersion, RateCard
from billing.prices.changes import Outcome, put_prices
from billing.prices.files import OPTIONAL, REQUIRED, price_rows, read_price_wishes
from billing.prices.price_book import add_rate_card, price_in_force, prices_of
from billing.prices.price_lists import make_price_list
from billing.pricing import Quantities, price_of
from identity.errors import Invalid
from models_catalog.models import LanguageModel
from tests.support.ledger import House, LedgerGateway, ledger_gateway, make_model, unique
from tests.support.operators import RUNS
from tests.support.people import TESTS, default_project, make_key, make_tenant

pytestmark = pytest.mark.usefixtures("database")
PARIS = ZoneInfo("Europe/Paris")
M = 10**6
HISTORY = """model;mode;valid_from;input;output;reasoning;documents;audio_ms
{chat};standard;2025-01-01;0,90;4;21;;
{chat};batch;2025-01-01;0,45;2;10,50;;
{chat};standard;2026-02-10;1,90;8;8;;
{chat};batch;2026-02-10;0,95;4;4;;
{chat};standard;2026-06-01;1,80;8;8;;
{chat};batch;2026-06-01;0,90;4;4;;
{rerank};standard;2025-01-01;;;;4;
{audio};standard;2025-01-01;;;;;0,166666667
"""


def bring(card: RateCard, text: str) -> list[Outcome]:
    wishes = read_price_wishes(text, zone=PARIS)
    return [plan.outcome for plan in put_prices(by=RUNS, rate_card=card, wishes=wishes)]


def table_of(card: RateCard) -> str:
    return "\n".join(",".join(row) for row in [(*REQUIRED, *OPTIONAL), *price_rows(card)])


@pytest.fixture
def card() -> RateCard:
    return add_rate_card(name=unique("card"), actor=TESTS)


@pytest.fixture
def offer(card: RateCard) -> dict[str, LanguageModel]:
    """The history of the reference service's prices, on a list of its own."""
    models = {
        "chat": make_model(),
        "rerank": make_model(kind="rerank"),
        "audio": make_model(kind="transcription"),
    }
    text = HISTORY.format(**{kind: model.name for kind, model in models.items()})
    assert bring(card, text) == [Outcome.ADDED] * 8
    return models


@pytest.mark.parametrize(
    ("kind", "mode", "day", "used", "cost_eur"),
    [
        ("chat", "standard", "2025-01-01", Quantities(M, 0, M, M), "25.9"),
        ("chat", "standard", "2026-02-09", Quantities(M, 0, M, M), "25.9"),
        ("chat", "standard", "2026-02-10", Quantities(M, 0, M, M), "17.9"),
        ("chat", "standard", "2026-05-31", Quantities(cached=M), "1.9"),
        ("chat", "standard", "2026-06-01", Quantities(M, 0, M, M), "17.8"),
        ("chat", "batch", "2025-06-01", Quantities(M, 0, M, M), "12.95"),
        ("chat", "batch", "2026-06-01", Quantities(M, 0, M, M), "8.9"),
        ("rerank", "standard", "2026-06-01", Quantities(input=9 * M, documents=100_000), "0.4"),
        ("audio", "standard", "2026-06-01", Quantities(audio_ms=60_000), "0.01"),
        ("audio", "standard", "2026-06-01", Quantities(audio_ms=20 * 60_000), "0.2"),
    ],
)
def test_the_reference_services_history_is_expressed_without_code(
    card: RateCard, offer: dict[str, LanguageModel], kind: str, mode: str, day: str, used: Quantities, cost_eur: str
) -> None:
    at = datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC)
    version = price_in_force(rate_card=card, model=offer[kind], at=at, mode=mode)
    assert version is not None
    whole, _, decimals = cost_eur.partition(".")
    assert price_of(used, prices_of(version))[0] == int(whole + decimals.ljust(9, "0"))


def test_audio_by_started_minute_is_a_column_that_comes_back(card: RateCard) -> None:
    model = make_model(kind="transcription")
    table = f"model,audio_ms,audio_by_started_minute\n{model.name},0.2,yes\n"
    assert bring(card, table) == [Outcome.ADDED]
    assert bring(card, table_of(card)) == [Outcome.SAME]
    version = price_in_force(rate_card=card, model=model)
    assert version is not None
    assert prices_of(version).audio_by_started_minute
    assert bring(card, table.replace("yes", "")) == [Outcome.ADDED]
    with pytest.raises(Invalid, match="neither yes nor nothing"):
        bring(card, table.replace("yes", "perhaps"))
    assert bring(card, f"model,input,audio_by_started_minute\n{model.name},1,yes\n") == [Outcome.REFUSED]


def test_a_price_changes_at_midnight_in_the_zone_that_was_chosen(
    card: RateCard, offer: dict[str, LanguageModel]
) -> None:
    midnight = datetime(2026, 2, 9, 23, tzinfo=UTC)
    before, after = (
        price_in_force(rate_card=card, model=offer["chat"], at=at) for at in (midnight - timedelta(seconds=1), midnight)
    )
    assert before is not None
    assert after is not None
    assert (before.valid_from < midnight, after.valid_from) == (True, midnight)


def test_who_has_a_contract_of_that_list_pays_the_last_of_its_prices(
    card: RateCard, offer: dict[str, LanguageModel], gateway_database_url: str
) -> None:
    tenant, chat = make_tenant(), offer["chat"]
    tier, _, _ = put_tier(by=RUNS, code=unique("t")[:32], wish=TierWish(name="Team", rate_card=card.name))
    start_contract(tenant=tenant, tier=tier, actor=TESTS)
    version = price_in_force(rate_card=card, model=chat)
    assert version is not None
    house = House(tenant, default_project(tenant), chat, version, prices_of(version))
    key, _ = make_key(tenant)
    with ledger_gateway(gateway_database_url) as gateway:
        assert cost_of(gateway, house, key) == 1_000 * 1_800 + 500 * 8_000
    late = HISTORY.format(**{kind: model.name for kind, model in offer.items()}).replace("1,80", "1,70")
    assert set(bring(card, late)) == {Outcome.SAME, Outcome.REFUSED}


def cost_of(gateway: LedgerGateway, house: House, key: object) -> int:
    admitted = gateway.admit(house, key)  # type: ignore[arg-type]
    assert admitted.verdict == "admitted", admitted
    return gateway.settle(house, admitted.request_id, Quantities(input=1_000, output=500))


def test_what_is_taken_out_changes_nothing_when_it_is_brought_in_again(
    card: RateCard, offer: dict[str, LanguageModel]
) -> None:
    count = PriceVersion.objects.filter(rate_card=card).count()
    assert set(bring(card, table_of(card))) == {Outcome.SAME}
    other = make_price_list(by=RUNS, name=unique("other"))
    assert set(bring(other, table_of(card))) == {Outcome.ADDED}
    assert table_of(other) == table_of(card)
    assert PriceVersion.objects.filter(rate_card=card).count() == count


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("model,input\na,1.2.3", "no amount in euros in column input of line 2"),
        ('model,input\na,"1,234"', "no amount in euros"),
        ("model,valid_from,input\na,soon,1", "no day such as"),
        ("model,price\na,1", "nobody knows"),
        ("mode,input\nbatch,1", "lacks these columns"),
        ("model,input\na,1,2", "too many or too few cells"),
    ],
)
def test_what_is_no_table_of_prices_is_refused_in_words(text: str, fault: str) -> None:
    with pytest.raises(Invalid, match=fault):
        read_price_wishes(text, zone=PARIS)


def test_an_empty_day_means_now_and_an_instant_is_taken_as_it_is(card: RateCard) -> None:
    model = make_model()
    [now] = read_price_wishes(f"model,input\n{model.name},1", zone=PARIS)
    assert (now.valid_from, now.mode, now.prices) == (None, "standard", {"input": 10**9})
    [then] = read_price_wishes(f"model,valid_from,input\n{model.name},2027-01-01T00:00:00+00:00,1", zone=PARIS)
    assert then.valid_from == datetime(2027, 1, 1, tzinfo=UTC)
    assert bring(card, f"model,input\n{model.name},1") == [Outcome.ADDED]
    version = price_in_force(rate_card=card, model=model)
    assert version is not None
    assert abs(timezone.now() - version.valid_from) < timedelta(minutes=1)
