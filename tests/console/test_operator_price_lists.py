"""The operator's pages of price lists."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Contract, PriceVersion, RateCard, Tier
from billing.prices.price_book import add_price_version, add_rate_card
from console.shell import operator_navigation
from identity.models import OperatorRole
from identity.permissions import permissions_of_operator
from models_catalog.models import LanguageModel
from tests.support.console import page, signed_in
from tests.support.ledger import house_of, make_model, unique
from tests.support.people import TESTS, make_cast, make_operator, make_tenant

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def bill(database: None) -> Client:
    """The billing operator's browser."""
    return signed_in(make_operator(OperatorRole.BILLING))


@pytest.fixture
def model(database: None) -> LanguageModel:
    return make_model()


@pytest.fixture
def card(model: LanguageModel) -> RateCard:
    card = add_rate_card(name=unique("card"), actor=TESTS)
    add_price_version(rate_card=card, model=model, prices={"input": 900_000_000, "output": 166_666_667}, actor=TESTS)
    return card


def test_a_list_is_copied_and_shows_each_price_exactly(bill: Client, card: RateCard, model: LanguageModel) -> None:
    name = unique("list")
    form = page(bill.get("/operator/new-price-list", {"copy": card.pk}))
    assert "Begin with the prices of" in form
    answer = bill.post("/operator/new-price-list", {"name": name, "copy_of": "", "factor": ""})
    empty = RateCard.objects.get(name=name)
    assert answer["Location"] == f"/operator/price-lists/{empty.pk}"
    assert "No price on this list yet" in page(bill.get(answer["Location"]))
    shown = page(bill.get(f"/operator/price-lists/{card.pk}"))
    assert model.name in shown
    assert "€0.90" in shown
    assert "€0.166666667" in shown
    assert "as input" not in shown
    found = page(bill.get("/operator/price-lists", {"q": name}))
    assert name in found
    assert card.name not in found


def test_a_change_is_looked_at_then_scheduled_then_withdrawn(
    bill: Client, card: RateCard, model: LanguageModel
) -> None:
    address = f"/operator/price-lists/{card.pk}/models/{model.pk}"
    assert 'value="0.90"' in page(bill.get(f"{address}/change"))
    soon = f"{timezone.now() + timedelta(days=9):%Y-%m-%d}"
    typed = {"input": "1,90", "output": "8", "starts_on": soon, "time_zone": "Europe/Paris"}
    pays_by(card)
    looked = page(bill.post(f"{address}/change", typed))
    assert "A price rises in" in looked
    assert "30 days are to lie between" in looked
    assert "Nobody who pays by this list used it then." in looked
    assert PriceVersion.objects.filter(rate_card=card).count() == 1
    refused = page(bill.post(f"{address}/change", typed | {"save": "1"}))
    assert "write down why" in refused
    assert "Nobody who pays by this list used it then." in refused
    assert PriceVersion.objects.filter(rate_card=card).count() == 1
    assert bill.post(f"{address}/change", typed | {"save": "1", "reason": "the grid"})["Location"] == address
    assert "the grid" in page(bill.get(address))
    version = PriceVersion.objects.get(rate_card=card, valid_from__gt=timezone.now())
    assert "scheduled" in page(bill.get(address))
    bill.post(f"/operator/price-lists/{card.pk}/withdraw/{version.pk}", {"model": str(model.pk)})
    assert "Withdrawn before they began" in page(bill.get(address))
    assert not PriceVersion.objects.filter(pk=version.pk).exists()


def test_audio_is_billed_by_started_minute_where_that_is_ticked(bill: Client, card: RateCard) -> None:
    model = make_model(kind="transcription")
    address = f"/operator/price-lists/{card.pk}/models/{model.pk}"
    typed = {"audio_ms": "0.166666667", "time_zone": "UTC", "save": "1"}
    assert bill.post(f"{address}/change", typed | {"audio_by_started_minute": "on"}).status_code == 302
    assert "by started minute" in page(bill.get(address))
    assert "by started minute" in page(bill.get(f"/operator/price-lists/{card.pk}"))
    form = page(bill.get(f"{address}/change"))
    assert "checked" in form[form.index("audio_by_started_minute") - 200 : form.index("Bill audio by started minute")]
    del typed["save"]
    assert "billed by another rule" in page(bill.post(f"{address}/change", typed))


def test_a_first_batch_price_is_proposed_at_half(bill: Client, card: RateCard, model: LanguageModel) -> None:
    address = f"/operator/price-lists/{card.pk}/models/{model.pk}/change"
    assert 'value="0.45"' in page(bill.get(address, {"mode": "batch"}))
    typed = {"mode": "batch", "input": "0.45", "output": "0.08", "time_zone": "UTC", "save": "1"}
    assert bill.post(address, typed).status_code == 302
    assert PriceVersion.objects.get(rate_card=card, mode="batch").prices.count() == 2


def test_a_model_without_a_price_gets_its_first_one(bill: Client, card: RateCard) -> None:
    other = make_model()
    to = bill.get(f"/operator/price-lists/{card.pk}/add", {"model": other.pk})["Location"]
    assert to == f"/operator/price-lists/{card.pk}/models/{other.pk}/change"
    assert "First price" in page(bill.get(to))
    assert "Add a model" in page(bill.get(f"/operator/price-lists/{card.pk}/add", {"model": "x"}))


def test_a_change_that_makes_no_sense_is_said(bill: Client, card: RateCard, model: LanguageModel) -> None:
    address = f"/operator/price-lists/{card.pk}/models/{model.pk}/change"
    known = {"input": "0.90", "output": "0.166666667", "time_zone": "UTC"}
    assert "It costs the same then already." in page(bill.post(address, known))
    assert "Within five years" in page(bill.post(address, known | {"input": "1", "starts_on": "2099-01-01"}))
    pays_by(card)
    assert "do not change" in page(bill.post(address, known | {"input": "1", "starts_on": "2020-01-01"}))


def pays_by(card: RateCard) -> None:
    tier = Tier.objects.create(code=unique("t")[:32], name="Test")
    Contract.objects.create(tenant=make_tenant(), tier=tier, rate_card=card, starts_at=timezone.now())


def test_a_table_with_a_rise_is_kept_on_the_page_until_it_says_why(
    bill: Client, card: RateCard, model: LanguageModel
) -> None:
    pays_by(card)
    address = f"/operator/price-lists/{card.pk}/import"
    given = {"text": f"model,input,output\n{model.name},1.90,8\n", "time_zone": "UTC", "make": "1"}
    refused = page(bill.post(address, given))
    assert "write down why" in refused
    assert "Add this price" in refused
    assert "A price rises within a day." in refused
    assert PriceVersion.objects.filter(rate_card=card).count() == 1
    assert "Done. Added: 1." in page(bill.post(address, given | {"reason": "the grid"}))


def test_what_makes_no_sense_is_said_at_the_field(bill: Client, card: RateCard) -> None:
    assert "Write a number" in page(bill.post("/operator/new-price-list", {"name": unique("l"), "factor": "half"}))
    assert "There is such" in page(bill.post("/operator/new-price-list", {"name": card.name}))


def test_prices_and_tiers_are_one_line_of_the_navigation(card: RateCard) -> None:
    permissions = permissions_of_operator(frozenset({OperatorRole.BILLING}))
    for address in ("tiers", "new-tier", "price-lists", f"price-lists/{card.pk}", "new-price-list"):
        links = [link for group in operator_navigation(permissions, f"/operator/{address}") for link in group]
        assert [link.address for link in links if link.is_here] == ["/operator/tiers"]


def test_who_only_supports_reads_lists_and_makes_none(card: RateCard) -> None:
    dan = signed_in(make_operator(OperatorRole.SUPPORT))
    assert "New price list" not in page(dan.get("/operator/price-lists"))
    assert dan.post("/operator/new-price-list", {"name": unique("l")}).status_code == 403


def test_a_table_is_looked_at_corrected_and_brought_in(bill: Client, card: RateCard, model: LanguageModel) -> None:
    address = f"/operator/price-lists/{card.pk}/import"
    day = f"{timezone.now() + timedelta(days=40):%Y-%m-%d}"
    text = f"model,mode,valid_from,input,output\n{model.name},standard,{day},1.90,8\n{model.name},batch,,0.95,4\n"
    given = {"text": text, "time_zone": "Europe/Paris"}
    looked = page(bill.post(address, given))
    assert "Add these 2 prices" in looked
    assert "€0.90 → €1.90" in looked
    assert ", 00:00:00" in looked
    assert PriceVersion.objects.filter(rate_card=card).count() == 1
    wrong = page(bill.post(address, given | {"text": text + "nobody,standard,,1,1\n"}))
    assert "1 line is wrong: nothing was done." in wrong
    assert "There is no model of this name." in wrong
    assert "Add these" not in wrong
    assert text.strip() in page(bill.post(address, given | {"correct": "1"}))
    assert "Done. Added: 2." in page(bill.post(address, given | {"make": "1"}))
    assert PriceVersion.objects.filter(rate_card=card).count() == 3
    assert "The table lacks these columns" in page(bill.post(address, given | {"text": "a,b\n1,2"}))
    taken = bill.get(f"/operator/price-lists/{card.pk}/export")
    assert taken["Content-Type"].startswith("text/csv")
    assert f"{model.name},batch," in taken.content.decode()


def test_who_pays_by_the_list_sees_on_the_models_page_what_follows(database: None) -> None:
    cast = make_cast()
    house = house_of(cast.tenant, make_model(visibility="everybody", published_at=timezone.now()))
    address = f"/t/{cast.tenant.slug}/models/{house.model.name}"
    assert "€3.25" not in page(signed_in(cast.alice).get(address))
    starts = timezone.now() + timedelta(days=40)
    add_price_version(
        rate_card=house.price_version.rate_card,
        model=house.model,
        prices={"input": 3_250_000_000},
        valid_from=starts,
        actor=TESTS,
    )
    assert "€3.25" in page(signed_in(cast.alice).get(address))
