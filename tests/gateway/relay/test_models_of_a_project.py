"""The models that a project may call bind all its keys at a running gateway: at once, and beside a key's own list."""

import time
from collections.abc import Iterable

import pytest
from django.utils import timezone

from identity.models import ApiKey, Project
from identity.playground import playground_secret
from identity.projects import change_project
from models_catalog.models import LanguageModel, ModelAlias
from tests.gateway.relay.bills import house_served_by, records_of
from tests.gateway.relay.conftest import Scene
from tests.gateway.simulated_engine.process import eventually
from tests.support.gateway import error_of, serve
from tests.support.ledger import HeldKey, House, make_model, make_price, unique
from tests.support.load import Load, chat
from tests.support.people import TESTS, as_member, make_person

AT_ONCE_S = 4.0  # the news; the poll would tell after five seconds


@pytest.fixture
def house(scene: Scene) -> House:
    """A tenant of its own with the models `house.model` and `other(house)`, both served."""
    house = house_served_by(scene.gateway, scene.engine)
    second = make_model(name=f"{house.model.name}-other")
    make_price(house.price_version.rate_card, second)
    serve(second, scene.engine)
    key = house.key()
    scene.gateway.await_key(key.text)
    assert eventually(lambda: len(listed(scene, key)) == 2, 5)
    return house


def other(house: House) -> str:
    return f"{house.model.name}-other"


def allow(project: Project, models: Iterable[str]) -> float:
    """The project may call these; when that was done, in monotonic seconds."""
    change_project(project, allowed_models=models, actor=TESTS)
    return time.monotonic()


def known(scene: Scene, key: HeldKey) -> HeldKey:
    scene.gateway.await_key(key.text)
    return key


def listed(scene: Scene, key: HeldKey) -> list[str]:
    return [model["id"] for model in scene.gateway.get("/v1/models", key.text).json["data"]]


def told(scene: Scene, model: str, text: str) -> tuple[int, str]:
    """Status and code of a small request."""
    answered = scene.gateway.chat(model, text, max_tokens=1)
    return answered.status, "" if answered.status == 200 else error_of(answered)["code"]


def test_a_change_binds_keys_in_use_within_a_second_and_is_taken_back_as_fast(scene: Scene, house: House) -> None:
    key = known(scene, house.key())
    with Load(
        scene.gateway.http_connection, [chat(other(house), key.text, stream=n % 2 == 0) for n in range(4)]
    ) as load:
        load.wait_for_more(20)
        assert load.failures == []
        allow(house.project, [house.model.name])
        done_at, began = timezone.now(), time.monotonic()
        while not load.failures:
            assert time.monotonic() - began < AT_ONCE_S
            time.sleep(0.005)
    assert all("model_not_allowed" in failure for failure in load.failures)
    # The ledger itself refuses what was decided on the list before: nothing was admitted after the change.
    assert max(record.admitted_at for record in records_of(key.row)) < done_at
    assert told(scene, house.model.name, key.text) == (200, "")
    began = allow(house.project, [])
    while told(scene, other(house), key.text) != (200, ""):
        assert time.monotonic() - began < AT_ONCE_S


def test_a_key_and_its_project_both_with_a_list_may_call_what_is_in_both(scene: Scene, house: House) -> None:
    mine, theirs = house.model.name, other(house)
    both, narrow = (
        known(scene, house.key(allowed_models=(mine, theirs))),
        known(scene, house.key(allowed_models=(theirs,))),
    )
    allow(house.project, [mine, "some-third-model"])
    assert eventually(lambda: listed(scene, both) == [mine], 4)
    assert [told(scene, name, both.text) for name in (mine, theirs)] == [(200, ""), (403, "model_not_allowed")]
    assert listed(scene, narrow) == []
    assert [told(scene, name, narrow.text)[1] for name in (mine, theirs)] == ["model_not_allowed"] * 2
    assert scene.gateway.get(f"/v1/models/{theirs}", both.text).status == 404


def test_the_refusal_is_a_keys_own_and_says_that_the_project_decides(scene: Scene, house: House) -> None:
    key, narrow = known(scene, house.key()), known(scene, house.key(allowed_models=("another",)))
    allow(house.project, [other(house)])
    assert eventually(lambda: listed(scene, key) == [other(house)], 4)
    of_project, of_key = (error_of(scene.gateway.chat(house.model.name, text)) for text in (key.text, narrow.text))
    same = ("type", "code", "param")
    assert [of_project[name] for name in same] == [of_key[name] for name in same]
    assert of_project["message"].startswith("The project of this API key may not call")
    assert of_key["message"].startswith("This API key may not call")


def test_a_list_belongs_to_the_project_and_so_a_key_that_moves_takes_the_other_ones(scene: Scene, house: House) -> None:
    second = house.project_called("Second")
    allow(second, [other(house)])
    key = known(scene, house.key())
    assert told(scene, house.model.name, key.text) == (200, "")
    ApiKey.objects.filter(pk=key.row.pk).update(project=second)
    began = time.monotonic()
    while told(scene, house.model.name, key.text) == (200, ""):
        assert time.monotonic() - began < AT_ONCE_S
    assert told(scene, other(house), key.text) == (200, "")
    assert listed(scene, key) == [other(house)]


def test_an_alias_in_the_list_stands_for_its_model(scene: Scene, house: House) -> None:
    alias, key = unique("alias"), known(scene, house.key())
    ModelAlias.objects.create(model=LanguageModel.objects.get(name=other(house)), alias=alias)
    allow(house.project, [alias])
    assert eventually(lambda: listed(scene, key) == [other(house)], 4)
    assert [told(scene, name, key.text)[0] for name in (alias, other(house), house.model.name)] == [200, 200, 403]


def test_what_a_person_tries_in_a_project_is_bound_by_it_too(scene: Scene, house: House) -> None:
    alice = make_person("alice", house.tenant)
    text = playground_secret(as_member(alice, house.tenant), house.project)
    scene.gateway.await_key(text)
    allow(house.project, [other(house)])
    assert eventually(lambda: told(scene, house.model.name, text) == (403, "model_not_allowed"), 4)
    assert told(scene, other(house), text) == (200, "")
