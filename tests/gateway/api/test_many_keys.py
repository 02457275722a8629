"""Keys looked for, changed many at once, bound from the start; and the rules that the organisation has for them."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from billing.models import Scope as Holder
from identity.models import ApiKey, AuditEvent, Role
from identity.scopes import Scope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import HeldKey, House, unique
from tests.support.people import make_person

NO_RULES: dict[str, Any] = {
    "longest_life_days": None, "default_life_days": None, "ip_ranges": [], "creators": "developers",
    "personal_keys": True,
}  # fmt: skip


def named(api: Api, key: HeldKey, name: str, **asked: object) -> str:
    made = api.ask("POST", "/api/keys", key, {"name": name, "scopes": ["inference"]} | asked)
    assert made.status_code == 201, made.content
    return str(made.json()["id"])


def ids(api: Api, key: HeldKey, query: str) -> list[str]:
    return [row["id"] for row in api.get(f"/api/keys?{query}", key).json()["results"]]


def test_keys_are_found_by_what_is_known_of_them(api: Api, house: House, strong_key: HeldKey) -> None:
    alice = make_person("alice", house.tenant, Role.OWNER)
    word = unique("nightly")
    soon = (timezone.now() + timedelta(days=3)).isoformat()
    hers = named(api, strong_key, f"{word} one", responsible=str(alice.pseudonym))
    other = named(api, strong_key, f"{word} two", expires_at=soon)
    assert ids(api, strong_key, f"text={word.upper()}") == [other, hers]
    assert ids(api, strong_key, f"text=bfr_{hers}_whatever") == [hers]
    assert ids(api, strong_key, f"person={alice.pseudonym}") == [hers]
    assert ids(api, strong_key, "state=expiring") == [other]
    assert ids(api, strong_key, "sort=last-used")[0] == strong_key.row.lookup  # it asks
    page = api.get(f"/api/keys?text={word}&limit=1", strong_key).json()
    assert (page["total"], [row["id"] for row in page["results"]]) == (2, [other])
    assert [row["id"] for row in api.get(page["next"], strong_key).json()["results"]] == [hers]
    for query, field in (("cursor=x", "cursor"), ("state=odd", "state"), ("q=x", "q")):
        assert [e["field"] for e in problem_of(api.get(f"/api/keys?{query}", strong_key))["errors"]] == [field]


def test_many_keys_are_changed_all_or_none(api: Api, house: House, strong_key: HeldKey) -> None:
    alice = make_person("alice", house.tenant, Role.OWNER)
    keys = [named(api, strong_key, f"number {number}") for number in range(3)]
    elsewhere = house.key(project=house.project_called("Elsewhere")).row.lookup
    end = (timezone.now() + timedelta(days=9)).replace(microsecond=0)

    def change(**asked: object) -> Any:
        return api.ask("POST", "/api/key-changes", strong_key, {"key_ids": keys} | asked)

    assert change(change="responsible", responsible=str(alice.pseudonym)).json() == {"changed": 3}
    assert change(change="expiry", expires_at=end.isoformat()).json() == {"changed": 3}
    assert change(change="expiry", expires_at=end.isoformat()).json() == {"changed": 0}
    assert set(ApiKey.objects.filter(lookup__in=keys).values_list("responsible", "expires_at")) == {(alice.pk, end)}
    assert change(change="revoke", key_ids=[*keys, elsewhere]).status_code == 404
    assert not ApiKey.objects.filter(lookup__in=[*keys, elsewhere], revoked_at__isnull=False).exists()
    for nonsense in (
        {"change": "expiry"},
        {"change": "revoke", "expires_at": None},
        {"change": "revoke", "key_ids": []},
    ):
        assert change(**nonsense).status_code == 400
    assert change(change="revoke").json() == {"changed": 3}
    assert AuditEvent.objects.filter(tenant=house.tenant, action="api_key.revoked", target__in=keys).count() == 3


def test_a_key_is_bound_when_it_is_made_and_shows_what_applies(api: Api, house: House, strong_key: HeldKey) -> None:
    house.budget(Holder.PROJECT, house.project.pk, 5 * 10**9)
    key = house.key(Scope.KEYS_MANAGE, Scope.INFERENCE)  # without `budgets:manage`: it binds more, never less
    minute = {"what": "requests", "window": "minute", "amount": 7}
    made = named(api, key, "bound", budget={"period": "day", "limit_nano_eur": 10**9}, limits=[minute])
    bounds = api.get(f"/api/keys/{made}/bounds", key).json()["results"]
    assert [(row["what"], row["per"], row["scope"], row["whole"], row["left"], row["binds"]) for row in bounds] == [
        ("money", "day", "key", 10**9, 10**9, True),
        ("money", "month", "project", 5 * 10**9, 5 * 10**9, False),
        ("requests", "minute", "key", 7, 7, True),
    ]
    for nonsense in (
        {"limits": [minute, minute]},
        {"limits": [minute | {"what": "concurrent"}]},
        {"budget": {"period": "day", "limit_nano_eur": 1, "hard": True}},
    ):
        asked = {"name": "never", "scopes": ["inference"]} | nonsense
        assert api.ask("POST", "/api/keys", key, asked).status_code == 400
    assert not ApiKey.objects.filter(tenant=house.tenant, name="never").exists()


def test_any_key_reads_what_applies_to_itself(api: Api, key: HeldKey, strong_key: HeldKey) -> None:
    assert api.get(f"/api/keys/{key.row.lookup}/bounds", key).status_code == 200
    assert api.get(f"/api/keys/{strong_key.row.lookup}/bounds", key).status_code == 403


def test_the_rules_for_keys_are_set_by_a_key_that_may(api: Api, house: House, strong_key: HeldKey) -> None:
    reads, weak = house.key(Scope.IDENTITY_MANAGE), house.key()
    rules = NO_RULES | {"longest_life_days": 90, "ip_ranges": ["127.0.0.1"]}
    shown = api.ask("PUT", "/api/key-rules", strong_key, rules)
    assert (shown.status_code, shown.json()) == (200, rules | {"ip_ranges": ["127.0.0.1/32"]})
    assert api.get("/api/key-rules", reads).json() == shown.json()
    event = AuditEvent.objects.filter(tenant=house.tenant).latest("sequence")
    assert (event.action, event.actor) == ("key_rules.changed", strong_key.row.lookup)
    missing = {name: value for name, value in rules.items() if name != "ip_ranges"}
    for nonsense in (missing, rules | {"longest_life_days": 0}, rules | {"ip_range": []}):
        assert api.ask("PUT", "/api/key-rules", strong_key, nonsense).status_code == 400
    assert problem_of(api.ask("PUT", "/api/key-rules", weak, rules))["code"] == "scope_missing"


def test_where_only_administrators_make_keys_not_even_a_key_that_sets_the_rules_does(
    api: Api, house: House, strong_key: HeldKey
) -> None:
    assert api.ask("PUT", "/api/key-rules", strong_key, NO_RULES | {"creators": "administrators"}).status_code == 200
    made = api.ask("POST", "/api/keys", strong_key, {"name": "k", "scopes": ["inference"]})
    assert (made.status_code, problem_of(made)["code"]) == (403, "more_than_own")
