"""Keys in the console: found, made, changed, rotated, revoked; the secret is shown once; nobody reaches another's."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.limits.key_bounds import bounds_of
from billing.limits.what_applies import what_applies
from identity.api_keys import authenticate, mint_api_key
from identity.errors import KeyRefused
from identity.key_policy import KeyPolicy
from identity.key_rules import KeyRules, set_key_rules
from identity.models import ApiKey, Role
from identity.projects import create_project
from identity.scopes import Scope
from tests.support.console import page, signed_in
from tests.support.people import TESTS, Cast, as_member, make_cast, make_key, make_person

TEXT = re.compile(r"bfr_\w{10}_\w{30,}")
NOW = timezone.now()


@pytest.fixture
def cast(database: None) -> Cast:
    return make_cast()


@pytest.fixture
def alice(cast: Cast) -> Client:
    return signed_in(cast.alice)


def address(cast: Cast, *rest: str) -> str:
    return "/".join([f"/t/{cast.tenant.slug}/keys", *rest])


def key_of(cast: Cast, name: str = "Portal") -> tuple[ApiKey, str]:
    maker, policy = as_member(cast.alice, cast.tenant), KeyPolicy(frozenset({Scope.INFERENCE}))
    return mint_api_key(maker=maker, project=cast.project, name=name, policy=policy)


def form_of(alice: Client, where: str) -> dict[str, Any]:
    """What a browser would send back unchanged."""
    return {
        name: value
        for name, field in alice.get(where).context["form"].fields.items()
        if (value := alice.get(where).context["form"].get_initial_for_field(field, name)) is not None
    }


def opens(text: str) -> bool:
    try:
        authenticate(text, client_ip=None, origin=None, now=timezone.now())
    except KeyRefused:
        return False
    return True


def use(key: ApiKey) -> None:
    with connection.cursor() as cursor:
        cursor.execute("insert into identity_keyuse (key_id, last_used_at) values (%s, now())", [key.pk])


def test_a_key_is_made_with_three_fields_and_shown_once(cast: Cast, alice: Client) -> None:
    sent = form_of(alice, address(cast, "new")) | {"name": "Citizens' portal", "project": cast.project.pk}
    answer = alice.post(address(cast, "new"), sent)
    [text] = set(TEXT.findall(page(answer)))
    assert opens(text)
    assert "no-store" in answer["Cache-Control"]
    key = ApiKey.objects.get(tenant=cast.tenant)
    assert (key.name, key.responsible, key.owner) == ("Citizens' portal", cast.alice, None)
    assert key.expires_at is not None
    assert key.expires_at > NOW + timedelta(days=364)

    again = alice.post(address(cast, "new"), sent)
    assert again["Location"] == address(cast, key.lookup)
    assert ApiKey.objects.filter(tenant=cast.tenant).count() == 1
    assert not TEXT.search(page(alice.get(again["Location"])))


def test_a_key_may_be_bound_from_the_beginning(cast: Cast, alice: Client) -> None:
    sent = form_of(alice, address(cast, "new")) | {
        "name": "Bound", "project": cast.project.pk, "kind": "personal", "ip_ranges": "192.0.2.0/24\n198.51.100.7",
        "budget": "12,50", "budget_period": "day", "requests_a_minute": "60",
    }  # fmt: skip
    page(alice.post(address(cast, "new"), sent))
    key = ApiKey.objects.get(tenant=cast.tenant)
    assert key.owner == cast.alice
    assert key.ip_ranges == ["192.0.2.0/24", "198.51.100.7/32"]
    bounds = bounds_of(key)
    assert (bounds.budget_nano_eur, bounds.period) == (12_500_000_000, "day")
    assert bounds.limits == {("requests", "minute"): 60}
    assert [(bound.what, bound.binds) for bound in what_applies(key)] == [("money", True), ("requests", True)]


def test_what_the_organisation_forbids_is_said_at_the_field(cast: Cast, alice: Client) -> None:
    set_key_rules(by=as_member(cast.alice, cast.tenant), rules=KeyRules(longest_life_days=30, personal_keys=False))
    new = form_of(alice, address(cast, "new"))
    assert "kind" not in new
    late = (NOW + timedelta(days=90)).date().isoformat()
    answer = alice.post(address(cast, "new"), new | {"name": "Late", "project": cast.project.pk, "expires_on": late})
    assert list(answer.context["form"].errors) == ["expires_on"]
    assert not ApiKey.objects.filter(tenant=cast.tenant).exists()
    page(alice.post(address(cast, "new"), new | {"name": "In time", "project": cast.project.pk}))


def test_a_change_keeps_the_secret_and_what_was_consumed(cast: Cast, alice: Client) -> None:
    key, text = key_of(cast)
    edit = address(cast, key.lookup, "edit")
    sent = form_of(alice, edit) | {"name": "Renamed", "budget": "5", "budget_period": "month"}
    assert alice.post(edit, sent)["Location"] == address(cast, key.lookup)
    [budget] = [bound for bound in what_applies(key) if bound.is_money]
    alice.post(edit, sent | {"budget": "9"})
    [raised] = [bound for bound in what_applies(key) if bound.is_money]
    assert (raised.id, raised.whole) == (budget.id, 9_000_000_000)
    key.refresh_from_db()
    assert key.name == "Renamed"
    assert key.expires_at is None
    assert opens(text)


def test_both_secrets_work_until_the_old_one_is_ended(cast: Cast, alice: Client) -> None:
    key, old = key_of(cast)
    rotate = address(cast, key.lookup, "rotate")
    sent = form_of(alice, rotate) | {"grace": 7 * 86_400}
    [new] = set(TEXT.findall(page(alice.post(rotate, sent))))
    assert opens(old)
    assert opens(new)
    assert alice.post(rotate, sent)["Location"] == address(cast, key.lookup)
    assert opens(new), "the page loaded again has taken the secret that was shown"
    assert "Two secrets work" in page(alice.get(address(cast, key.lookup)))
    alice.post(address(cast, key.lookup, "end-previous"))
    assert not opens(old)
    assert opens(new)


def test_a_key_in_use_is_revoked_with_a_word(cast: Cast, alice: Client) -> None:
    key, text = key_of(cast)
    use(key)
    revoke = address(cast, key.lookup, "revoke")
    alice.post(revoke)
    alice.post(revoke, {"confirmation": "yes"})
    assert opens(text)
    alice.post(revoke, {"confirmation": key.lookup})
    assert not opens(text)
    idle, idle_text = key_of(cast)
    alice.post(address(cast, idle.lookup, "revoke"))
    assert not opens(idle_text)


def test_many_keys_are_changed_together_or_not_at_all(cast: Cast, alice: Client) -> None:
    keys = [key_of(cast, f"Desk {number}")[0] for number in range(3)]
    archives = create_project(cast.tenant, "Archives", actor=TESTS)
    chosen: dict[str, Any] = {"key": [key.lookup for key in keys]}
    asked = page(alice.post(address(cast, "bulk"), chosen | {"action": "project"}))
    assert all(key.name in asked for key in keys)

    def project_ids() -> set[int]:
        return set(ApiKey.objects.filter(tenant=cast.tenant).values_list("project", flat=True))

    moved = chosen | {"action": "project", "project": archives.pk, "confirmed": "yes"}
    assert alice.post(address(cast, "bulk"), moved).status_code == 302
    assert project_ids() == {archives.pk}
    given = chosen | {"action": "responsible", "person": str(cast.bob.pseudonym), "confirmed": "yes"}
    assert alice.post(address(cast, "bulk"), given).status_code == 302
    assert {key.responsible for key in ApiKey.objects.filter(tenant=cast.tenant)} == {cast.bob}

    alice.post(address(cast, keys[1].lookup, "revoke"))
    refused = page(alice.post(address(cast, "bulk"), moved | {"project": cast.project.pk}))
    assert "Desk 1: the key is revoked." in refused
    assert project_ids() == {archives.pk}

    use(keys[0])
    stop = chosen | {"action": "revoke", "confirmed": "yes"}
    assert alice.post(address(cast, "bulk"), stop).status_code == 200
    assert alice.post(address(cast, "bulk"), stop | {"confirmation": "3"}).status_code == 302
    assert not ApiKey.objects.filter(tenant=cast.tenant, revoked_at=None).exists()


def test_nobody_reaches_anothers_keys(cast: Cast, alice: Client) -> None:
    theirs, _ = make_key(cast.strangers)
    assert theirs.lookup not in page(alice.get(address(cast)))
    for rest in ((), ("edit",), ("rotate",)):
        assert alice.get(address(cast, theirs.lookup, *rest)).status_code == 404
    for verb in ("revoke", "end-previous"):
        assert alice.post(address(cast, theirs.lookup, verb)).status_code == 404
    alice.post(address(cast, "bulk"), {"key": theirs.lookup, "action": "revoke", "confirmed": "yes"})
    theirs.refresh_from_db()
    assert theirs.revoked_at is None


def test_who_may_only_look_is_offered_nothing(cast: Cast) -> None:
    key, text = key_of(cast)
    auditor = signed_in(make_person("dana", cast.tenant, Role.AUDITOR))
    for shown in (page(auditor.get(address(cast))), page(auditor.get(address(cast, key.lookup)))):
        assert not re.findall(r"Create a key|Rotate|Revoke|Change<|type=\"checkbox\"", shown)
    assert auditor.get(address(cast, "new")).status_code == 403
    assert auditor.post(address(cast, key.lookup, "revoke")).status_code == 403
    answer = auditor.post(address(cast, "bulk"), {"key": key.lookup, "action": "revoke", "confirmed": "yes"})
    assert answer.status_code == 403
    assert opens(text)


@pytest.mark.parametrize("query", ["", "?q=desk&state=active&sort=last-used", "?state=unused", "?q=nothing"])
def test_a_full_list_takes_few_queries(cast: Cast, alice: Client, query: str) -> None:
    for number in range(55):
        key_of(cast, f"Desk {number}")
    with CaptureQueriesContext(connection) as queries:
        page(alice.get(address(cast) + query))
    assert len(queries) <= 10
    with CaptureQueriesContext(connection) as queries:
        part = alice.get(address(cast) + query, headers={"HX-Request": "true"})
    assert part.status_code == 200
    assert b"<html" not in part.content
    assert len(queries) <= 10


def test_each_part_of_a_key_takes_few_queries(cast: Cast, alice: Client) -> None:
    key, _ = key_of(cast)
    for part in ("", "?part=history"):
        with CaptureQueriesContext(connection) as queries:
            page(alice.get(address(cast, key.lookup) + part))
        assert len(queries) <= 10
