"""Price lists through the operator's API."""

import pytest

from billing.models import RateCard
from billing.prices.price_book import add_price_version, add_rate_card
from identity.scopes import OperatorScope
from models_catalog.models import LanguageModel
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import house_of, make_model, unique
from tests.support.operators import HeldOperatorKey, held_operator_key
from tests.support.people import TESTS, make_tenant

pytestmark = pytest.mark.usefixtures("database")
LISTS = "/api/operator/price-lists"


@pytest.fixture
def script(database: None) -> HeldOperatorKey:
    return held_operator_key(OperatorScope.PRICES_WRITE)


@pytest.fixture
def model(database: None) -> LanguageModel:
    return make_model()


@pytest.fixture
def card(model: LanguageModel) -> RateCard:
    card = add_rate_card(name=unique("card"), actor=TESTS)
    add_price_version(rate_card=card, model=model, prices={"input": 1_000_000_000}, actor=TESTS)
    return card


def test_a_list_is_made_as_a_copy_and_says_its_prices(
    api: Api, script: HeldOperatorKey, card: RateCard, model: LanguageModel
) -> None:
    name = unique("list")
    made = api.ask("POST", LISTS, script, {"name": name, "copy_of": card.pk, "factor": "0.9"})
    assert made.status_code == 201
    told = made.json()
    assert told == {
        "id": told["id"], "name": name, "is_reference": False, "models": 1, "tiers": [], "organisations": 0,
        "next_change": None,
    }  # fmt: skip
    assert api.get(f"{LISTS}/{told['id']}", script).json() == told
    [version] = api.get(f"{LISTS}/{told['id']}/prices", script).json()["results"]
    assert version["nano_eur_per_million"] == {"input": 900_000_000}
    assert (version["model"], version["mode"], version["valid_until"]) == (model.name, "standard", None)
    assert api.ask("POST", LISTS, script, {"name": name}).status_code == 409


def test_a_version_says_until_when_it_counted(
    api: Api, script: HeldOperatorKey, card: RateCard, model: LanguageModel
) -> None:
    add_price_version(rate_card=card, model=model, prices={"input": 2}, actor=TESTS)
    first, second = api.get(f"{LISTS}/{card.pk}/prices", script).json()["results"]
    assert (first["valid_until"], second["valid_until"]) == (second["valid_from"], None)


@pytest.mark.parametrize("body", [{}, {"name": "a", "copy_of": 2**40}, {"name": "a", "factor": "half"}, {"nmae": "a"}])
def test_what_makes_no_sense_is_refused(api: Api, script: HeldOperatorKey, body: dict[str, object]) -> None:
    assert api.ask("POST", LISTS, script, body).status_code == 400


def test_prices_are_looked_at_scheduled_and_withdrawn(
    api: Api, script: HeldOperatorKey, card: RateCard, model: LanguageModel
) -> None:
    address = f"{LISTS}/{card.pk}/prices"
    wish = {"model": model.name, "valid_from": "2027-12-01T00:00:00+01:00", "nano_eur_per_million": {"input": 5}}
    looked = api.ask("POST", address, script, {"prices": [wish]})
    assert looked.status_code == 200
    told = looked.json()
    assert (told["is_done"], told["rises_in_days"], told["preview"]["tenants"]) == (False, None, [])
    assert told["lines"] == [
        {
            "model": model.name, "mode": "standard", "valid_from": "2027-11-30T23:00:00Z", "outcome": "added",
            "replaces_nano_eur_per_million": {"input": 1_000_000_000}, "error": "",
        }
    ]  # fmt: skip
    assert len(api.get(address, script).json()["results"]) == 1
    assert api.ask("POST", address, script, {"prices": [wish], "dry_run": False}).json()["is_done"] is True
    again = api.ask("POST", address, script, {"prices": [wish], "dry_run": False}).json()
    assert (again["is_done"], again["lines"][0]["outcome"]) == (True, "unchanged")
    version = api.get(address, script).json()["results"][1]
    assert api.ask("DELETE", f"{address}/{version['id']}", script).status_code == 204
    assert api.ask("DELETE", f"{address}/{version['id']}", script).status_code == 404
    [withdrawn] = api.get(f"{LISTS}/{card.pk}/withdrawn-prices", script).json()["results"]
    assert (withdrawn["model"], withdrawn["nano_eur_per_million"]) == (model.name, {"input": 5})
    begun = api.get(address, script).json()["results"][0]["id"]
    assert api.ask("DELETE", f"{address}/{begun}", script).status_code == 409


def test_a_rise_without_a_reason_is_seen_and_not_made(api: Api, model: LanguageModel) -> None:
    script = held_operator_key(OperatorScope.PRICES_WRITE)
    house = house_of(make_tenant(), model)
    address = f"{LISTS}/{house.price_version.rate_card.pk}/prices"
    body = {"prices": [{"model": model.name, "nano_eur_per_million": {"input": 10**9, "output": 10**9}}]}
    assert api.ask("POST", address, script, body).json()["rises_in_days"] == 0
    refused = problem_of(api.ask("POST", address, script, body | {"dry_run": False}))
    assert [one["field"] for one in refused["errors"]] == ["reason"]
    assert api.ask("POST", address, script, body | {"dry_run": False, "reason": "power"}).json()["is_done"] is True
    assert [one["reason"] for one in api.get(address, script).json()["results"]] == ["", "power"]


def test_audio_by_started_minute_is_said_and_shown(api: Api, script: HeldOperatorKey, card: RateCard) -> None:
    address, model = f"{LISTS}/{card.pk}/prices", make_model(kind="transcription")
    wish = {"model": model.name, "nano_eur_per_million": {"audio_ms": 200}, "audio_by_started_minute": True}
    assert api.ask("POST", address, script, {"prices": [wish], "dry_run": False}).json()["is_done"] is True
    assert [one["audio_by_started_minute"] for one in api.get(address, script).json()["results"]] == [False, True]


def test_one_refused_price_keeps_the_others_out(
    api: Api, script: HeldOperatorKey, card: RateCard, model: LanguageModel
) -> None:
    good = {"model": model.name, "nano_eur_per_million": {"input": 5}}
    body = {"prices": [good, {"model": "nobody", "nano_eur_per_million": {"input": 5}}], "dry_run": False}
    told = api.ask("POST", f"{LISTS}/{card.pk}/prices", script, body).json()
    assert (told["is_done"], [line["error"] for line in told["lines"]]) == (
        False,
        ["", "There is no model of this name."],
    )
    assert len(api.get(f"{LISTS}/{card.pk}/prices", script).json()["results"]) == 1


def test_a_reader_makes_no_list(api: Api, card: RateCard) -> None:
    reader = held_operator_key(OperatorScope.PRICES_READ)
    assert api.get(f"{LISTS}?limit=1", reader).status_code == 200
    assert api.ask("POST", LISTS, reader, {"name": unique("list")}).status_code == 403
    assert api.get(f"{LISTS}/0", reader).status_code == 404
    wish = {"model": "a", "nano_eur_per_million": {"input": 5}}
    assert api.ask("POST", f"{LISTS}/{card.pk}/prices", reader, {"prices": [wish]}).status_code == 403
    assert api.ask("DELETE", f"{LISTS}/{card.pk}/prices/1", reader).status_code == 403
