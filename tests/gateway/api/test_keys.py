"""Keys through the API: shown once, never above their maker, stopped at once."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.models import Scope as Holder
from gateway.pools.models import Pool, Replica
from identity.models import ApiKey, AuditEvent
from identity.scopes import Scope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import HeldKey, House, LedgerGateway, unique
from tests.support.people import make_person


def create(api: Api, maker: HeldKey, **asked: Any) -> Any:
    return api.ask("POST", "/api/keys", maker, {"name": "ours", "scopes": ["inference"]} | asked)


def test_a_new_key_is_shown_once_and_works(api: Api, house: House, strong_key: HeldKey) -> None:
    response = create(api, strong_key, name="  nightly  ", scopes=["inference", "usage:read:tenant"])
    created = response.json()

    assert response.status_code == 201
    assert response["Location"] == f"/api/keys/{created['id']}"
    assert response["Cache-Control"] == "no-store"
    assert (created["name"], created["project_id"], created["status"]) == ("nightly", house.project.pk, "active")
    assert created["scopes"] == ["inference", "usage:read:tenant"]
    own = api.get("/api/key", HeldKey(ApiKey.objects.get(lookup=created["id"]), created["key"]))
    assert own.json()["id"] == created["id"]
    shown = api.get(response["Location"], strong_key).json()
    assert shown["last_used_at"] is not None
    assert shown == {name: value for name, value in created.items() if name != "key"} | {
        "last_used_at": shown["last_used_at"]
    }
    secret = created["key"].split("_")[2]
    assert secret not in api.get("/api/keys", strong_key).content.decode()
    event = AuditEvent.objects.filter(tenant=house.tenant).latest("sequence")
    assert (event.action, event.actor, event.target) == ("api_key.minted", strong_key.row.lookup, created["id"])


def test_a_key_gives_at_most_what_it_has(api: Api, house: House) -> None:
    soon = timezone.now() + timedelta(hours=1)
    maker = house.key(
        Scope.INFERENCE, Scope.KEYS_MANAGE, allowed_models=("a", "b"), ip_ranges=("127.0.0.0/8",), expires_at=soon
    )
    too_much: list[dict[str, Any]] = [
        {"scopes": ["usage:read:tenant"]},
        {"allowed_models": []},
        {"allowed_models": ["a", "c"]},
        {"ip_ranges": ["0.0.0.0/0"]},
        {"ip_ranges": []},
        {"origins": ["https://app.example.org"]},
        {"expires_at": None},
        {"expires_at": (soon + timedelta(seconds=1)).isoformat()},
    ]
    for asked in too_much:
        response = create(api, maker, **asked)
        assert response.status_code == 403, asked
        assert problem_of(response)["code"] in ("scope_missing", "more_than_own")

    taken_over = create(api, maker).json()
    assert (taken_over["allowed_models"], taken_over["ip_ranges"]) == (["a", "b"], ["127.0.0.0/8"])
    assert taken_over["expires_at"] == soon.isoformat().replace("+00:00", "Z")
    assert create(api, maker, allowed_models=["b"]).status_code == 201


def test_a_key_of_a_person_makes_keys_of_that_person(api: Api, house: House) -> None:
    owner = make_person("bob", house.tenant)
    created = create(api, house.key(Scope.INFERENCE, Scope.KEYS_MANAGE, owner=owner)).json()
    assert created["owner"] == str(owner.pseudonym)


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({"name": ""}, ["name"]),
        ({"name": "a\u202eb"}, ["name"]),
        ({"name": "n\0l"}, ["name"]),
        ({"name": "x" * 201}, ["name"]),
        ({"name": 5, "scopes": []}, ["scopes"]),
        ({"name": None}, ["name"]),
        ({"scopes": ["everything"]}, ["scopes.0"]),
        ({"scopes": "inference"}, ["scopes"]),
        ({"ip_ranges": ["10.0.0.1/8"]}, ["ip_ranges"]),
        ({"origins": ["https://app.example.org/path"]}, ["origins"]),
        ({"allowed_models": ["é"]}, ["allowed_models"]),
        ({"allowed_models": ["m"] * 201}, ["allowed_models"]),
        ({"expires_at": "2020-01-01T00:00:00Z"}, ["expires_at"]),
        ({"expires_at": "soon"}, ["expires_at"]),
    ],
)
def test_a_key_that_makes_no_sense_is_refused_by_field(
    api: Api, strong_key: HeldKey, asked: dict[str, Any], fields: list[str]
) -> None:
    response = create(api, strong_key, **asked)
    assert response.status_code == 400
    assert [error["field"] for error in problem_of(response)["errors"]] == fields


def test_a_member_that_is_not_known_is_refused(api: Api, strong_key: HeldKey) -> None:
    response = create(api, strong_key, alowed_models=["cheap-one"])
    assert response.status_code == 400
    assert [error["field"] for error in problem_of(response)["errors"]] == ["alowed_models"]


def test_a_revoked_key_is_refused_at_once_and_revoking_twice_is_the_same(
    api: Api, house: House, strong_key: HeldKey
) -> None:
    victim, other = house.key(), house.key()
    assert api.get("/api/key", victim).status_code == 200

    first = api.ask("POST", f"/api/keys/{victim.row.lookup}/revoke", strong_key)
    again = api.ask("POST", f"/api/keys/{victim.row.lookup}/revoke", strong_key)

    assert (first.status_code, first.json()["status"]) == (200, "revoked")
    assert again.json() == first.json()
    assert api.get("/api/key", victim).status_code == 401
    assert api.ask("DELETE", f"/api/keys/{other.row.lookup}", strong_key).status_code == 204
    assert api.get("/api/key", other).status_code == 401
    assert api.get(f"/api/keys/{other.row.lookup}", strong_key).json()["status"] == "revoked"


def test_keys_are_listed_in_pages_newest_first(api: Api, house: House, strong_key: HeldKey) -> None:
    made = [house.key().row.lookup for _ in range(4)]
    seen: list[str] = []
    address = "/api/keys?limit=2"
    while address:
        page = api.get(address, strong_key).json()
        seen += [key["id"] for key in page["results"]]
        address = page["next"]
    assert seen == [*made[::-1], strong_key.row.lookup]


def test_a_list_of_keys_takes_two_queries(api: Api, house: House, strong_key: HeldKey) -> None:
    for _ in range(3):
        house.key(owner=make_person("bob", house.tenant))
    api.use(strong_key)
    with CaptureQueriesContext(connection) as queries:
        assert len(api.get("/api/keys", strong_key).json()["results"]) == 4
    assert len(queries) == 2


def test_a_key_reads_what_binds_it(api: Api, house: House, key: HeldKey, gateway: LedgerGateway) -> None:
    house.budget(Holder.PROJECT, house.project.pk, 10**9)
    house.budget(Holder.KEY, house.key().row.pk, 5)
    house.limit(Holder.KEY, key.row.pk, "requests", "minute", 60)
    pool = Pool.objects.create(name=unique("pool"), model=house.model, served_name="m")
    Replica.objects.create(pool=pool, name="one", url="http://127.0.0.1:1", state=Replica.State.READY)
    gateway.complete(house, key.row)
    api.use(key)

    with CaptureQueriesContext(connection) as queries:
        own = api.get("/api/key", key).json()

    assert own["id"] == key.row.lookup
    assert own["tenant"] == {"slug": house.tenant.slug, "name": house.tenant.name, "time_zone": "Europe/Paris"}
    assert own["project"] == {"id": house.project.pk, "name": "Default", "cost_centre": ""}
    assert own["models"] == [house.model.name]
    [budget] = own["budgets"]
    assert (budget["scope"], budget["project_id"], budget["key_id"]) == ("project", house.project.pk, None)
    assert (budget["spent_nano_eur"], budget["left_nano_eur"]) == (45_000, 10**9 - 45_000)
    [limit] = own["limits"]
    assert (limit["key_id"], limit["used"], limit["left"]) == (key.row.lookup, 1, 59)
    assert len(queries) <= 10


def test_budgets_have_the_names_that_programs_rely_on(
    api: Api, house: House, key: HeldKey, strong_key: HeldKey, gateway: LedgerGateway
) -> None:
    mine = house.budget(Holder.KEY, key.row.pk, 10**9, period="day")
    others = house.budget(Holder.KEY, strong_key.row.pk, 10**9)
    gateway.complete(house, key.row)
    gateway.admit(house, key.row)

    [budget] = api.get("/api/budgets", key).json()["results"]
    assert (
        budget.items()
        >= {
            "id": mine.pk,
            "scope": "key",
            "period": "day",
            "limit_nano_eur": 10**9,
            "cap_nano_eur": 10**9,
            "spent_nano_eur": 45_000,
            "held_nano_eur": 750_000,
            "left_nano_eur": 10**9 - 795_000,
            "key_id": key.row.lookup,
        }.items()
    )
    first = api.get("/api/budgets?limit=1", strong_key).json()
    second = api.get(first["next"], strong_key).json()
    assert [page["results"][0]["id"] for page in (first, second)] == [mine.pk, others.pk]
    assert second["next"] is None
