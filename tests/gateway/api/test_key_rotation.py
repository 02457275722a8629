"""A key's secrets through the API: rotated, asked for again, ended; and what is changed of a key."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import Scope as Holder
from identity.access import Caller
from identity.key_rules import KeyRules, set_key_rules
from identity.models import ApiKey, AuditEvent
from identity.scopes import Scope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import HeldKey, House, LedgerGateway
from tests.support.people import make_person


def rotate(api: Api, key: HeldKey, by: HeldKey, asked: object = None, **headers: str) -> Any:
    return api.ask("POST", f"/api/keys/{key.row.lookup}/rotate", by, {} if asked is None else asked, **headers)


def status_of(api: Api, key: HeldKey, text: str) -> int:
    status: int = api.get("/api/key", HeldKey(key.row, text)).status_code
    return status


def test_a_rotated_key_has_a_new_text_and_the_old_one_works_on(api: Api, house: House, strong_key: HeldKey) -> None:
    key = house.key()
    response = rotate(api, key, strong_key, {"grace_seconds": 3600})
    rotated = response.json()
    assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
    assert (rotated["id"], rotated["previous_ended"], rotated["is_repeat"]) == (key.row.lookup, False, False)
    assert rotated["previous_secret"]["ends_at"] > timezone.now().isoformat()
    assert [status_of(api, key, text) for text in (key.text, rotated["key"])] == [200, 200]
    shown = api.get(f"/api/keys/{key.row.lookup}", strong_key)
    assert rotated["key"].split("_")[2] not in shown.content.decode()

    ended = api.ask("POST", f"/api/keys/{key.row.lookup}/end-previous-secret", strong_key)
    assert (ended.status_code, ended.json()["previous_secret"]) == (200, None)
    refused = api.get("/api/key", key)
    assert (refused.status_code, problem_of(refused)["code"]) == (401, "api_key_rotated")


def test_a_rotation_whose_answer_was_lost_is_sent_again(api: Api, house: House, strong_key: HeldKey) -> None:
    key = house.key()
    lost, got = (rotate(api, key, strong_key, Idempotency_Key="once").json() for _ in range(2))
    assert (got["is_repeat"], got["previous_secret"]["ends_at"]) == (True, lost["previous_secret"]["ends_at"])
    assert [status_of(api, key, text) for text in (key.text, lost["key"], got["key"])] == [200, 401, 200]


def test_a_key_that_rotates_itself_and_hears_nothing_is_not_locked_out(api: Api, strong_key: HeldKey) -> None:
    for _ in range(3):
        assert rotate(api, strong_key, strong_key).status_code == 200
    assert status_of(api, strong_key, strong_key.text) == 200


@pytest.mark.parametrize("asked", [{"grace_seconds": -1}, {"grace_seconds": 90 * 86400 + 1}, {"grace": 5}])
def test_a_rotation_that_makes_no_sense_is_refused_by_field(
    api: Api, house: House, strong_key: HeldKey, asked: dict[str, int]
) -> None:
    response = rotate(api, house.key(), strong_key, asked)
    assert response.status_code == 400
    assert [error["field"] for error in problem_of(response)["errors"]] == list(asked)


def test_I6_no_key_gets_the_secret_of_a_stronger_one(api: Api, house: House) -> None:
    manager = house.key(Scope.KEYS_MANAGE, Scope.INFERENCE)
    for stronger in (house.key(Scope.USAGE_READ_TENANT), house.key(owner=make_person("bob", house.tenant))):
        assert rotate(api, stronger, manager).status_code == 403
        assert status_of(api, stronger, stronger.text) == 200
    lasting = house.key(Scope.KEYS_MANAGE, Scope.INFERENCE, expires_at=timezone.now() + timedelta(hours=1))
    assert rotate(api, house.key(), lasting).status_code == 403


def test_a_revoked_key_is_not_rotated(api: Api, house: House, strong_key: HeldKey) -> None:
    key = house.key()
    api.ask("POST", f"/api/keys/{key.row.lookup}/revoke", strong_key)
    assert rotate(api, key, strong_key).status_code == 409


def test_a_change_keeps_what_is_left_out_and_what_was_consumed(
    api: Api, house: House, strong_key: HeldKey, gateway: LedgerGateway
) -> None:
    key = house.key(allowed_models=("a",))
    house.budget(Holder.KEY, key.row.pk, 10**9)
    gateway.complete(house, key.row)
    bob = make_person("bob", house.tenant)
    changed = api.ask(
        "PATCH", f"/api/keys/{key.row.lookup}", strong_key, {"name": "nightly", "responsible": str(bob.pseudonym)}
    ).json()
    assert (changed["name"], changed["responsible"], changed["allowed_models"]) == (
        "nightly", str(bob.pseudonym), ["a"],
    )  # fmt: skip
    rotate(api, key, strong_key)
    [budget] = api.get("/api/key", key).json()["budgets"]
    assert budget["spent_nano_eur"] == 45_000
    assert AuditEvent.objects.filter(action="api_key.changed", target=key.row.lookup).count() == 1


def test_I6_a_key_is_never_changed_to_more_than_the_one_that_asks(api: Api, house: House) -> None:
    manager, key = (
        house.key(Scope.KEYS_MANAGE, Scope.INFERENCE, allowed_models=("a",)),
        house.key(allowed_models=("a",)),
    )
    too_much: list[dict[str, list[str]]] = [
        {"scopes": ["usage:read:tenant"]},
        {"allowed_models": []},
        {"origins": ["https://a.example"]},
    ]
    for asked in too_much:
        assert api.ask("PATCH", f"/api/keys/{key.row.lookup}", manager, asked).status_code == 403, asked
    assert (
        api.ask(
            "PATCH", f"/api/keys/{key.row.lookup}", manager, {"responsible": str(make_person("x").pseudonym)}
        ).status_code
        == 400
    )
    assert ApiKey.objects.get(pk=key.row.pk).scopes == ["inference"]


def test_a_key_reads_what_it_has_to_comply_with_and_gets_a_life_from_it(
    api: Api, house: House, strong_key: HeldKey
) -> None:
    rules = KeyRules(longest_life_days=90, default_life_days=30)
    set_key_rules(by=Caller.system("tests", house.tenant), rules=rules)
    told = api.get("/api/key-rules", strong_key).json()
    assert (told["longest_life_days"], told["default_life_days"], told["creators"]) == (90, 30, "developers")
    made = api.ask("POST", "/api/keys", strong_key, {"name": "k", "scopes": ["inference"]}).json()
    assert made["expires_at"][:10] == (timezone.now() + timedelta(days=30)).isoformat()[:10]
    never = api.ask("POST", "/api/keys", strong_key, {"name": "k", "scopes": ["inference"], "expires_at": None})
    assert [error["field"] for error in problem_of(never)["errors"]] == ["expires_at"]
