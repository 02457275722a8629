"""A tenant's own names for models, through a real gateway: the model answers and is paid, the name is kept besides."""

import pytest

from billing.prices.aliases import put_alias, put_alias_for, remove_alias, remove_alias_for
from billing.prices.visibility import NOBODY, set_visibility
from identity.access import Caller
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.models import AuditEvent, Role, Tenant
from models_catalog.entries import NewEntry, add_model
from models_catalog.models import LanguageModel
from tests.gateway.relay.bills import house_served_by, records_of
from tests.gateway.relay.conftest import Scene
from tests.gateway.simulated_engine.process import eventually
from tests.support.ledger import HeldKey, House, make_house, make_model, unique
from tests.support.operators import RUNS
from tests.support.people import TESTS, as_member, make_person


@pytest.fixture
def house(scene: Scene) -> House:
    """A tenant whose model the engine serves."""
    return house_served_by(scene.gateway, scene.engine)


def known(scene: Scene, house: House) -> HeldKey:
    key = house.key()
    scene.gateway.await_key(key.text)
    return key


def setting_up(tenant: Tenant) -> Caller:
    return Caller.system("tests", tenant)


def answers(scene: Scene, name: str, key: HeldKey) -> bool:
    return scene.gateway.chat(name, key.text, max_tokens=1).status == 200


def test_a_name_of_ones_own_answers_is_paid_as_the_model_and_ends(scene: Scene, house: House) -> None:
    neighbour, alias = make_house(house.model), unique("gpt-4o")
    key, theirs = known(scene, house), known(scene, neighbour)
    put_alias(by=setting_up(house.tenant), alias=alias, model=house.model.name)
    assert eventually(lambda: answers(scene, alias, key), 4)
    record = records_of(key.row)[0]
    assert (record.model_id, record.alias, record.cost_nano_eur > 0) == (house.model.pk, alias, True)
    listed = {one["id"]: one["aliases"] for one in scene.gateway.get("/v1/models", key.text).json["data"]}
    assert alias in listed[house.model.name]
    assert not answers(scene, alias, theirs)  # to others it is the name of nothing
    remove_alias(by=setting_up(house.tenant), alias=alias)
    assert eventually(lambda: not answers(scene, alias, key), 4)
    assert answers(scene, house.model.name, key)


def test_the_name_of_a_model_that_lives_is_taken_and_of_one_that_ended_leads_elsewhere(
    scene: Scene, house: House
) -> None:
    caller, other = setting_up(house.tenant), make_model()
    with pytest.raises(Conflict, match="already"):
        put_alias(by=caller, alias=other.name, model=house.model.name)
    LanguageModel.objects.filter(pk=other.pk).update(deprecated_on="2026-01-01", retired_on="2026-02-01")
    put_alias(by=caller, alias=other.name, model=house.model.name)
    key = known(scene, house)
    assert eventually(lambda: answers(scene, other.name, key), 4)


def test_what_makes_no_sense_is_refused(database: None) -> None:
    house, hidden = make_house(), make_model()
    caller = setting_up(house.tenant)
    set_visibility(model=hidden, audience=NOBODY, actor=TESTS)
    for alias, model, field in (("two words", house.model.name, "alias"), ("x", hidden.name, "model")):
        with pytest.raises(Invalid) as refused:
            put_alias(by=caller, alias=alias, model=model)
        assert refused.value.field == field
    with pytest.raises(NotFound):
        remove_alias(by=caller, alias="nothing")
    developer = as_member(make_person("dora", house.tenant, Role.DEVELOPER), house.tenant)
    with pytest.raises(Forbidden):
        put_alias(by=developer, alias="x", model=house.model.name)


def test_an_operator_gives_a_name_in_both_chains_and_it_stands_in_no_new_models_way(database: None) -> None:
    house, second, alias = make_house(), make_model(), unique("theirs")
    for model, is_new in ((house.model, True), (house.model, False), (second, False)):
        made = put_alias_for(by=RUNS, tenant=house.tenant, alias=alias, model=model.name)
        assert (made[0].model, made[1]) == (model, is_new)
    add_model(NewEntry(alias, "chat", 4_096), actor=TESTS)
    remove_alias_for(by=RUNS, tenant=house.tenant, alias=alias)
    told = AuditEvent.objects.filter(target_kind="modelalias", target=alias).order_by("pk")
    for tenant in (house.tenant, None):
        actions = [event.action for event in told.filter(tenant=tenant)]
        assert actions == ["model_alias.set", "model_alias.set", "model_alias.removed"]
