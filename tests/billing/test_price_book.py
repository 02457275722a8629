"""The price book: versions follow each other and never change what was billed (I4)."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.utils import timezone

from billing.models import Contract, MeterPrice, PriceVersion, RateCard, Tier
from billing.prices.price_book import (
    REFERENCE_PRICES,
    add_price_version,
    add_rate_card,
    load_prices,
    price_in_force,
    prices_of,
    reference_rate_card,
)
from billing.pricing import Quantities, price_of
from identity.audit import Actor
from identity.errors import Conflict, Invalid
from identity.models import AuditEvent
from models_catalog.loading import OFFER, read_catalog
from models_catalog.models import LanguageModel
from tests.support.ledger import make_model, unique
from tests.support.people import make_tenant

ALICE = Actor.system("test")
CHEAP, DEAR = {"input": 1_000_000_000}, {"input": 2_000_000_000, "output": 5_000_000_000}


@pytest.fixture
def model(database: None) -> LanguageModel:
    return make_model()


@pytest.fixture
def card(database: None) -> RateCard:
    return add_rate_card(name=unique("card"), actor=ALICE)


def test_a_version_is_in_force_until_the_next_one_starts(model: LanguageModel, card: RateCard) -> None:
    first = add_price_version(rate_card=card, model=model, prices=CHEAP, actor=ALICE)
    tomorrow = timezone.now() + timedelta(days=1)
    second = add_price_version(rate_card=card, model=model, prices=DEAR, valid_from=tomorrow, actor=ALICE)
    assert price_in_force(rate_card=card, model=model) == first
    assert price_in_force(rate_card=card, model=model, at=tomorrow - timedelta(seconds=1)) == first
    assert price_in_force(rate_card=card, model=model, at=tomorrow) == second
    assert price_in_force(rate_card=card, model=model, at=first.valid_from - timedelta(seconds=1)) is None
    assert dict(prices_of(second).nano_eur_per_million) == DEAR
    assert prices_of(second).version_id == second.pk


def test_a_model_without_prices_has_none_in_force(model: LanguageModel, card: RateCard) -> None:
    assert price_in_force(rate_card=card, model=model) is None
    add_price_version(rate_card=card, model=model, prices=CHEAP, mode="batch", actor=ALICE)
    assert price_in_force(rate_card=card, model=model) is None
    assert price_in_force(rate_card=card, model=model, mode="batch") is not None


def test_only_the_first_prices_of_a_model_may_start_in_the_past(model: LanguageModel, card: RateCard) -> None:
    a_year_ago = timezone.now() - timedelta(days=365)
    add_price_version(rate_card=card, model=model, prices=CHEAP, valid_from=a_year_ago, actor=ALICE)
    tier = Tier.objects.create(code=unique("t")[:32], name="Test")
    Contract.objects.create(tenant=make_tenant(), tier=tier, rate_card=card, starts_at=timezone.now())
    for start in (a_year_ago, a_year_ago - timedelta(days=1), timezone.now() - timedelta(seconds=1)):
        with pytest.raises(Conflict, match="do not change"):
            add_price_version(rate_card=card, model=model, prices=DEAR, valid_from=start, actor=ALICE)
    assert PriceVersion.objects.filter(rate_card=card).count() == 1


def test_an_instant_has_one_version(model: LanguageModel, card: RateCard) -> None:
    tomorrow = timezone.now() + timedelta(days=1)
    add_price_version(rate_card=card, model=model, prices=CHEAP, valid_from=tomorrow, actor=ALICE)
    with pytest.raises(Conflict, match="exist already"):
        add_price_version(rate_card=card, model=model, prices=DEAR, valid_from=tomorrow, actor=ALICE)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"prices": {}}, "a price for a meter"),
        ({"prices": {"tokens": 1}}, "no meter tokens"),
        ({"prices": {"input": -1}}, "whole number"),
        ({"prices": {"input": 10**15 + 1}}, "whole number"),
        ({"prices": {"input": 0.9}}, "whole number"),
        ({"prices": {"input": True}}, "whole number"),
        ({"mode": "turbo"}, "standard, batch"),
    ],
)
def test_prices_that_make_no_sense_are_refused(
    model: LanguageModel, card: RateCard, changes: dict[str, Any], problem: str
) -> None:
    sane: dict[str, Any] = {"rate_card": card, "model": model, "prices": CHEAP, "actor": ALICE}
    with pytest.raises(Invalid, match=problem):
        add_price_version(**(sane | changes))


def test_a_version_is_audited_and_told_to_gateways(
    model: LanguageModel, card: RateCard, gateway_database_url: str
) -> None:
    with psycopg.connect(gateway_database_url, autocommit=True) as gateway:
        gateway.execute("listen beffroi_policy")
        version = add_price_version(rate_card=card, model=model, prices=DEAR, actor=ALICE)
        assert [told.payload for told in gateway.notifies(timeout=5, stop_after=1)] == ["catalog"]
    link = AuditEvent.objects.get(action="price_version.added", target=str(version.pk))
    assert link.detail["prices"] == DEAR


def test_a_rate_card_has_a_name_of_its_own_and_one_is_the_reference(card: RateCard) -> None:
    load_prices(actor=ALICE)
    with pytest.raises(Conflict):
        add_rate_card(name=card.name, actor=ALICE)
    with pytest.raises(Conflict):
        add_rate_card(name=unique("card"), is_reference=True, actor=ALICE)


@pytest.fixture
def reference(database: None) -> RateCard:
    call_command("load_catalog", verbosity=0)
    load_prices(actor=ALICE)
    return reference_rate_card()


def test_every_model_of_the_offer_has_a_reference_price(reference: RateCard) -> None:
    names = [entry.row.name for entry in read_catalog(OFFER)]
    unpriced = LanguageModel.objects.filter(name__in=names).exclude(price_versions__rate_card=reference)
    assert list(unpriced) == []


@pytest.mark.parametrize(
    ("name", "used", "cost"),
    [
        ("gpt-oss:120b", Quantities(input=10**6), 900_000_000),
        ("gpt-oss:120b", Quantities(cached=10**6), 900_000_000),
        ("gpt-oss:120b", Quantities(output=10**6), 4_000_000_000),
        ("gpt-oss:120b", Quantities(reasoning=10**6), 21_000_000_000),
        ("bge-m3:567m", Quantities(input=10**6), 900_000_000),
        ("bge-reranker-large", Quantities(documents=100_000, input=10**6), 400_000_000),
        ("voxtral", Quantities(audio_ms=60_000), 10_000_000),
    ],
)
def test_the_reference_prices_are_those_published(reference: RateCard, name: str, used: Quantities, cost: int) -> None:
    version = price_in_force(
        rate_card=reference, model=LanguageModel.objects.get(name=name), at=datetime(2025, 6, 1, tzinfo=UTC)
    )
    assert version is not None
    assert price_of(used, prices_of(version))[0] == cost


def test_loading_again_adds_only_what_is_missing(reference: RateCard) -> None:
    before = MeterPrice.objects.filter(version__rate_card=reference).count()
    assert load_prices(actor=ALICE) == []
    assert MeterPrice.objects.filter(version__rate_card=reference).count() == before
    newcomer = make_model(kind="embedding")
    assert [version.model for version in load_prices(actor=ALICE)] == [newcomer]


def test_a_model_that_an_operator_priced_first_keeps_that_price_at_the_next_start(database: None) -> None:
    load_prices(actor=ALICE)
    own = make_model()
    priced = add_price_version(rate_card=reference_rate_card(), model=own, prices=CHEAP, actor=ALICE)
    assert own not in [version.model for version in load_prices(actor=ALICE)]
    assert price_in_force(rate_card=reference_rate_card(), model=own) == priced


def a_price_file(tmp_path: Path, **changes: Any) -> Path:
    document = json.loads(REFERENCE_PRICES.read_text())
    document["rate_cards"][0]["versions"][0] |= changes
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(document))
    return path


def test_a_file_cannot_change_prices_that_are_in_force(reference: RateCard, tmp_path: Path) -> None:
    dearer = a_price_file(tmp_path, eur_per_million={"embedding": {"input": "5", "output": "0"}})
    with pytest.raises(Conflict, match="Prices do not change"):
        load_prices(dearer, actor=ALICE)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"eur_per_million": {"chat": {"input": 0.9}}}, "must be text"),
        ({"eur_per_million": {"chat": {"input": "free"}}}, "decimal number"),
        ({"eur_per_million": None}, "wrong type"),
        ({"valid_from": "2025-01-01"}, "time zone"),
        ({"valid_from": 7}, "wrong type"),
    ],
)
def test_a_price_file_that_makes_no_sense_is_refused_in_words(
    database: None, tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(Invalid, match=problem):
        load_prices(a_price_file(tmp_path, **changes), actor=ALICE)


def test_the_command_may_run_at_every_start(reference: RateCard, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("load_prices")
    call_command("load_prices")
    assert "Prices: 0 added. Tiers: none changed." in capsys.readouterr().out
