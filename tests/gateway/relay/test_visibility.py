"""Who may not see a model is told that there is none: at running gateways, at once, as of one that there is not."""

import time
from datetime import date, timedelta

import pytest
from django.utils import timezone

from billing.contracts.agreements import AgreementWish, end_agreement, put_agreement
from billing.contracts.contracts import start_contract
from billing.models import Agreement, Contract, Tier
from billing.prices.visibility import EVERYBODY, NOBODY, Audience, set_visibility
from identity.models import Tenant
from models_catalog.models import LanguageModel, ModelAlias
from tests.gateway.relay.bills import house_served_by, records_of
from tests.gateway.relay.conftest import Scene
from tests.gateway.simulated_engine.process import eventually
from tests.support.gateway import error_of
from tests.support.ledger import HeldKey, House, make_house, make_price, unique
from tests.support.load import Load, chat
from tests.support.operators import RUNS
from tests.support.people import TESTS

AT_ONCE_S = 4.0  # the news; the poll would tell after five seconds
CHOSEN = LanguageModel.Visibility.CHOSEN


@pytest.fixture
def house(scene: Scene) -> House:
    """A tenant of its own whose model the engine serves."""
    return house_served_by(scene.gateway, scene.engine)


@pytest.fixture
def neighbour(scene: Scene, house: House) -> House:
    """Another tenant that pays for the same model."""
    return make_house(house.model)


def known(scene: Scene, house: House) -> HeldKey:
    key = house.key()
    scene.gateway.await_key(key.text)
    return key


def show(model: LanguageModel, audience: Audience) -> float:
    """Let these see it; when that was done, in monotonic seconds."""
    assert set_visibility(model=model, audience=audience, actor=TESTS)
    return time.monotonic()


def agree(house: House, first_day: date | None = None, last_day: date | None = None) -> Agreement:
    LanguageModel.objects.filter(pk=house.model.pk).update(published_at=timezone.now())
    wish = AgreementWish(first_day=first_day, last_day=last_day, models=[house.model.name])
    return put_agreement(by=RUNS, tenant=house.tenant, wish=wish)[0]


def test_a_model_by_agreement_is_there_for_its_time_and_to_nobody_else(
    scene: Scene, house: House, neighbour: House
) -> None:
    model, key, other = house.model.name, known(scene, house).text, known(scene, neighbour).text
    show(house.model, only(scene.house.tenant))
    assert eventually(lambda: not sees(scene, model, key), AT_ONCE_S)
    agreement = agree(house)
    assert eventually(lambda: sees(scene, model, key), AT_ONCE_S)
    assert not sees(scene, model, other)
    end_agreement(by=RUNS, tenant=house.tenant, agreement_id=agreement.pk)
    assert eventually(lambda: not sees(scene, model, key), AT_ONCE_S)


def test_a_model_by_agreement_comes_and_goes_at_its_instant_though_nobody_turns_the_contract(
    scene: Scene, house: House
) -> None:
    model, key = house.model.name, known(scene, house).text
    show(house.model, only(scene.house.tenant))
    assert eventually(lambda: not sees(scene, model, key), AT_ONCE_S)
    tomorrow = timezone.localdate() + timedelta(days=1)
    planned = agree(house, first_day=tomorrow, last_day=tomorrow + timedelta(days=1))
    begins = timezone.now() + timedelta(seconds=2)
    ends = begins + timedelta(seconds=2)
    Agreement.objects.filter(pk=planned.pk).update(starts_at=begins, ends_at=ends)
    Contract.objects.filter(tenant=house.tenant, ends_at=None).update(turns_at=begins)  # so that gateways hear of it
    time.sleep(1)
    assert not sees(scene, model, key)
    time.sleep(max((begins - timezone.now()).total_seconds(), 0) + 0.2)
    assert scene.gateway.get(f"/v1/models/{model}", key).status == 200
    time.sleep(max((ends - timezone.now()).total_seconds(), 0) + 0.2)
    assert scene.gateway.get(f"/v1/models/{model}", key).status == 404
    assert scene.gateway.chat(model, key, max_tokens=1).status == 404


def only(*tenants: Tenant, tiers: tuple[int, ...] = ()) -> Audience:
    return Audience(CHOSEN, tiers, tuple(tenant.pk for tenant in tenants))


def sees(scene: Scene, model: str, text: str) -> bool:
    """Whether the list, the model's own address or a request says that there is one."""
    listed = scene.gateway.get("/v1/models", text).json["data"]
    return (
        any(model in (one["id"], *one["aliases"]) for one in listed)
        or scene.gateway.get(f"/v1/models/{model}", text).status == 200
        or scene.gateway.chat(model, text, max_tokens=1).status == 200
    )


def test_hiding_binds_keys_in_use_within_a_second_and_showing_is_as_fast(
    scene: Scene, house: House, neighbour: House
) -> None:
    key = known(scene, house)
    with Load(
        scene.gateway.http_connection, [chat(house.model.name, key.text, stream=n % 2 == 0) for n in range(4)]
    ) as load:
        load.wait_for_more(20)
        assert load.failures == []
        began = show(house.model, only(neighbour.tenant))
        while not load.failures:
            assert time.monotonic() - began < AT_ONCE_S
            time.sleep(0.005)
    assert all("model_not_found" in failure for failure in load.failures)
    assert not sees(scene, house.model.name, key.text)
    assert sees(scene, house.model.name, known(scene, neighbour).text)
    paid = {record.price_version_id for record in records_of(key.row)}
    began = show(house.model, EVERYBODY)
    while not sees(scene, house.model.name, key.text):
        assert time.monotonic() - began < AT_ONCE_S
    assert {record.price_version_id for record in records_of(key.row)} == paid


def test_the_refusal_is_that_of_a_model_that_there_is_not(scene: Scene, house: House, neighbour: House) -> None:
    key, alias = known(scene, house), unique("alias")
    ModelAlias.objects.create(model=house.model, alias=alias)
    assert eventually(lambda: sees(scene, alias, key.text), 4)
    show(house.model, only(neighbour.tenant))
    assert eventually(lambda: not sees(scene, house.model.name, key.text), 4)
    unknown = unique("nothing")
    for name in (house.model.name, alias):
        for hidden, missing in (
            (scene.gateway.chat(name, key.text), scene.gateway.chat(unknown, key.text)),
            (scene.gateway.get(f"/v1/models/{name}", key.text), scene.gateway.get(f"/v1/models/{unknown}", key.text)),
        ):
            told = {**error_of(hidden), "message": error_of(hidden)["message"].replace(name, unknown)}
            assert (hidden.status, told) == (404, error_of(missing))


def test_a_tier_sees_what_is_shown_to_it_and_who_leaves_the_tier_does_not(
    scene: Scene, house: House, neighbour: House
) -> None:
    key, theirs = known(scene, house), known(scene, neighbour)
    contract = Contract.objects.get(tenant=house.tenant, ends_at=None)
    show(house.model, only(tiers=(contract.tier_id,)))
    assert eventually(lambda: not sees(scene, house.model.name, theirs.text), 4)
    assert sees(scene, house.model.name, key.text)
    other = Tier.objects.create(code=unique("tier")[:32], name="Another")
    began = time.monotonic()
    start_contract(tenant=house.tenant, tier=other, rate_card=contract.rate_card, actor=TESTS)
    while sees(scene, house.model.name, key.text):
        assert time.monotonic() - began < AT_ONCE_S


def test_nobody_sees_what_is_shown_to_nobody_and_a_successor_is_not_told_of(scene: Scene, house: House) -> None:
    key, hidden = known(scene, house), house_served_by(scene.gateway, scene.engine).model
    make_price(house.price_version.rate_card, hidden)
    LanguageModel.objects.filter(pk=house.model.pk).update(
        successor=hidden, deprecated_on="2026-01-01", retired_on="2099-01-01"
    )

    def successor() -> str | None:
        return str(scene.gateway.get(f"/v1/models/{house.model.name}", key.text).json.get("successor"))

    assert eventually(lambda: successor() == hidden.name, 4)
    show(hidden, NOBODY)
    assert eventually(lambda: successor() == "None", 4)
    assert not sees(scene, hidden.name, key.text)
    answered = scene.gateway.chat(house.model.name, key.text, max_tokens=1)
    assert answered.status == 200
    assert hidden.name not in str(answered.headers)
