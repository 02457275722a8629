"""The catalog as a key sees it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import RateCard
from gateway.pools.models import Pool, Replica
from identity.projects import change_project
from models_catalog.models import LanguageModel, ModelAlias
from tests.gateway.api.conftest import Api
from tests.support.ledger import HeldKey, House, make_house, make_model, make_price, unique
from tests.support.people import TESTS


def serve(model: LanguageModel, state: str = Replica.State.READY) -> None:
    pool, _ = Pool.objects.get_or_create(model=model, served_name="served", defaults={"name": unique("pool")})
    Replica.objects.create(pool=pool, name="one", url=f"http://127.0.0.1:1/{unique('r')}", state=state)


def read(api: Api, key: HeldKey, name: str) -> Any:
    response = api.get(f"/api/models/{name}", key)
    assert response.status_code == 200, response.content
    return response.json()


def test_a_model_tells_what_it_is_and_what_it_costs_here(api: Api, house: House, key: HeldKey) -> None:
    LanguageModel.objects.filter(pk=house.model.pk).update(parameters_billion="116.8", languages=["fr", "en"])
    model = read(api, key, house.model.name)
    assert (model["id"], model["kind"], model["context_window"]) == (house.model.name, "chat", 8_192)
    assert (model["parameters_billion"], model["languages"]) == (116.8, ["fr", "en"])
    [price] = model["prices"]
    assert price["nano_eur_per_million"] == {"input": 150_000_000, "cached": 50_000_000, "output": 600_000_000}
    assert (price["mode"], price["version_id"]) == ("standard", house.price_version.pk)


def test_the_price_in_force_is_the_latest_that_has_begun(api: Api, house: House, key: HeldKey) -> None:
    card = house.price_version.rate_card
    newer = make_price(card, house.model, {"input": 1, "output": 2}, starts=timedelta(hours=-1))
    make_price(card, house.model, {"input": 3, "output": 4}, starts=timedelta(hours=1))
    [price] = read(api, key, house.model.name)["prices"]
    assert (price["version_id"], price["nano_eur_per_million"]) == (newer.pk, {"input": 1, "output": 2})


def test_prices_that_follow_are_told_the_next_first(api: Api, house: House, key: HeldKey) -> None:
    card = house.price_version.rate_card
    make_price(card, house.model, {"input": 5}, starts=timedelta(days=60))
    make_price(card, house.model, {"input": 3, "output": 4}, starts=timedelta(days=30))
    make_price(house_card(), house.model, {"input": 9}, starts=timedelta(days=30))
    model = read(api, key, house.model.name)
    assert len(model["prices"]) == 1
    assert [price["nano_eur_per_million"] for price in model["scheduled_prices"]] == [
        {"input": 3, "output": 4}, {"input": 5},
    ]  # fmt: skip


def house_card() -> RateCard:
    """A list that nobody here pays by."""
    return RateCard.objects.create(name=unique("card"))


def test_a_model_is_callable_when_it_is_served_priced_alive_and_allowed(api: Api, house: House, key: HeldKey) -> None:
    model = house.model

    def seen(by: HeldKey = key) -> tuple[bool, bool]:
        shown = read(api, by, model.name)
        return shown["is_served"], shown["is_callable"]

    assert seen() == (False, False)
    serve(model, Replica.State.FAILED)
    assert seen() == (False, False)
    serve(model)
    assert seen() == (True, True)
    assert seen(house.key(allowed_models=("another",))) == (True, False)
    ModelAlias.objects.create(model=model, alias="by-alias-" + model.name)
    assert seen(house.key(allowed_models=("by-alias-" + model.name,))) == (True, True)
    assert seen(make_house().key()) == (True, False)  # no price there
    for allowed, is_callable in ((["another"], False), ([model.name], True)):
        change_project(house.project, allowed_models=allowed, actor=TESTS)
        assert seen() == (True, is_callable)
        assert (model.name in api.get("/api/key", key).json()["models"]) == is_callable
    assert seen(house.key(allowed_models=("another",))) == (True, False)
    today = datetime.now(UTC).date()
    LanguageModel.objects.filter(pk=model.pk).update(deprecated_on=today, retired_on=today)
    assert seen() == (True, False)
    assert read(api, key, model.name)["lifecycle"] == "retired"


@pytest.mark.parametrize("form", ["org/{}:latest", "{}/with/slashes", "{}:8b", "{}+x@y.z~w"])
def test_ids_may_hold_colons_and_slashes(api: Api, database: None, form: str) -> None:
    house = make_house(make_model(name=form.format(unique("m"))))
    key = house.key()
    assert read(api, key, house.model.name)["id"] == house.model.name
    assert api.get(f"/api/models/{house.model.name}/nothing", key).status_code == 404


def test_a_model_is_found_by_alias_and_the_tenants_own_comes_first(api: Api, house: House, key: HeldKey) -> None:
    other, alias = make_model(), unique("alias/x")
    ModelAlias.objects.create(model=other, alias=alias)
    assert read(api, key, alias)["id"] == other.name
    ModelAlias.objects.create(model=house.model, alias=alias, tenant=house.tenant)
    shown = read(api, key, alias)
    assert (shown["id"], alias in shown["aliases"]) == (house.model.name, True)
    assert read(api, make_house().key(), alias)["id"] == other.name


def test_an_id_that_no_model_has_is_404(api: Api, key: HeldKey) -> None:
    for name in ("none", "a%00b", "%0A", "x" * 3_000, "..%2f..%2fetc"):
        assert api.get(f"/api/models/{name}", key).status_code == 404, name


def test_the_whole_catalog_takes_a_fixed_number_of_queries(api: Api, house: House, key: HeldKey) -> None:
    counts = []
    for _ in range(2):
        successor = make_model()
        model = make_model(successor=successor, deprecated_on=date(2026, 1, 1), retired_on=date(2026, 6, 1))
        make_price(house.price_version.rate_card, model)
        serve(model)
        api.use(key)
        with CaptureQueriesContext(connection) as queries:
            listed = {one["id"]: one for one in api.get("/api/models", key).json()["results"]}
        assert listed[model.name]["successor"] == successor.name
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 8
