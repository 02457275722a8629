"""How people get in, set up by a program: it prepares a provider and opens no door by itself."""

from typing import Any

import pytest
from django.utils import timezone

from identity import providers
from identity.access import Caller
from identity.errors import Conflict, Forbidden
from identity.group_rules import add_rule
from identity.members import add_member
from identity.models import AccessRequest, AuditEvent, GroupRule, Membership, ProviderVersion, Role
from identity.providers import ProviderSettings
from identity.scim_tokens import token_of
from identity.scopes import Scope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import HeldKey, House
from tests.support.people import as_member, make_person

HUSH = "a-client-secret-of-ours"
SETTINGS = {"issuer": "https://127.0.0.1:1", "client_id": "beffroi", "client_secret": HUSH, "required_amr": ["mfa"]}


@pytest.fixture
def key(house: House) -> HeldKey:
    """A key that sets sign-in up, and nothing else."""
    return house.key(Scope.IDENTITY_MANAGE)


def prepare(api: Api, key: HeldKey, **changes: object) -> Any:
    return api.ask("PUT", "/api/sign-in/preparation", key, SETTINGS | changes)


def version_of(house: House) -> ProviderVersion:
    own = providers.provider_of(house.tenant)
    version = providers.version_in_preparation(own) if own else None
    assert version is not None
    return version


def test_settings_are_prepared_tested_and_discarded_and_the_secret_is_never_shown(
    api: Api, house: House, key: HeldKey
) -> None:
    shown = prepare(api, key)
    assert (shown.status_code, shown.json()["active"]) == (200, None)
    waiting = shown.json()["in_preparation"]
    assert (waiting["state"], waiting["issuer"], waiting["required_amr"]) == ("draft", SETTINGS["issuer"], ["mfa"])
    assert waiting["groups_claim"] == "groups"
    assert HUSH not in shown.content.decode() + api.get("/api/sign-in", key).content.decode()
    assert providers.client_secret(version_of(house)) == HUSH
    assert shown.json()["redirect_uri"].endswith(f"/oidc/tenant-{house.tenant.slug}/callback")

    tested = api.ask("POST", "/api/sign-in/test", key).json()
    assert (tested["is_good"], [finding["outcome"] for finding in tested["findings"]]) == (False, ["bad"])
    assert api.ask("DELETE", "/api/sign-in/preparation", key).status_code == 204
    assert api.get("/api/sign-in", key).json()["in_preparation"] is None
    events = AuditEvent.objects.filter(tenant=house.tenant, action__startswith="identity_provider")
    assert {(event.actor, event.action) for event in events} == {
        (key.row.lookup, "identity_provider.prepared"),
        (key.row.lookup, "identity_provider.withdrawn"),
    }
    assert HUSH not in str([event.detail for event in events])


def test_nonsense_is_said_at_its_field(api: Api, key: HeldKey) -> None:
    for field, changes in {
        "issuer": {"issuer": "http://login.example.org"},
        "groups_claim": {"groups_claim": "two words"},
        "client_secert": {"client_secert": "misspelt"},
    }.items():
        assert [error["field"] for error in problem_of(prepare(api, key, **changes))["errors"]] == [field]


def test_what_a_key_prepared_takes_effect_after_a_person_signed_in_with_it(
    api: Api, house: House, key: HeldKey
) -> None:
    alice = make_person("alice", house.tenant, Role.OWNER)
    bob = make_person("bob", house.tenant, Role.ADMINISTRATOR)
    prepare(api, key)
    version, now = version_of(house), timezone.now()
    with pytest.raises(Conflict, match="sign in with these settings first"):
        providers.activate(version, by=as_member(alice, house.tenant), now=now)

    providers.mark_tried(version, person=alice, now=now)
    with pytest.raises(Conflict, match="only who prepared"):
        providers.mark_tried(version, person=bob, now=now)
    with pytest.raises(Forbidden, match="only an owner"):
        providers.activate(version, by=as_member(bob, house.tenant), now=now)
    providers.activate(version, by=as_member(alice, house.tenant), now=now)
    assert api.get("/api/sign-in", key).json()["active"]["state"] == "active"

    # A kept secret goes to the same issuer only, and a key closes the door again.
    kept = {name: value for name, value in SETTINGS.items() if name != "client_secret"}
    elsewhere = api.ask("PUT", "/api/sign-in/preparation", key, kept | {"issuer": "https://evil.example.org"})
    assert [error["field"] for error in problem_of(elsewhere)["errors"]] == ["client_secret"]
    assert api.ask("PUT", "/api/sign-in/preparation", key, kept).status_code == 200
    assert api.ask("POST", "/api/sign-in/switch-off", key).json()["active"] is None
    assert api.ask("POST", "/api/sign-in/switch-off", key).status_code == 409


def test_two_people_cannot_both_make_a_keys_settings_their_own(api: Api, house: House, key: HeldKey) -> None:
    alice, bob = (make_person(name, house.tenant, Role.OWNER) for name in ("alice", "bob"))
    prepare(api, key)
    seen_by_alice, seen_by_bob = version_of(house), version_of(house)
    providers.mark_tried(seen_by_alice, person=alice, now=timezone.now())
    with pytest.raises(Conflict):
        providers.mark_tried(seen_by_bob, person=bob, now=timezone.now())
    assert version_of(house).changed_by == alice


def test_a_directorys_token_is_shown_once_and_stops_when_revoked(api: Api, house: House, key: HeldKey) -> None:
    made = api.ask("POST", "/api/scim-tokens", key, {"name": "Entra"})
    text, slug, now = made.json()["token"], house.tenant.slug, timezone.now()
    assert (made.status_code, made["Cache-Control"], made.json()["made_by_owner"]) == (201, "no-store", False)
    assert token_of(text, slug=slug, now=now) is not None
    listed = api.get("/api/scim-tokens", key)
    assert [row["name"] for row in listed.json()["results"]] == ["Entra"]
    assert text not in listed.content.decode()
    assert api.ask("DELETE", f"/api/scim-tokens/{made.json()['id']}", key).status_code == 204
    assert token_of(text, slug=slug, now=now) is None
    assert api.get("/api/scim-tokens", key).json()["results"] == []


def test_I6_a_key_lets_a_group_give_no_more_than_it_has(api: Api, house: House, strong_key: HeldKey) -> None:
    prepare(api, strong_key)
    rule = {"provider": "own", "group": "devs", "role": "developer", "project_ids": [house.project.pk]}
    for changes in ({"role": "owner"}, {"role": "administrator", "project_ids": None}, {"project_ids": None}):
        assert api.ask("POST", "/api/group-rules", strong_key, rule | changes).status_code == 403
    half = house.key(Scope.IDENTITY_MANAGE)
    assert problem_of(api.ask("POST", "/api/group-rules", half, rule))["code"] == "scope_missing"
    assert not GroupRule.objects.filter(tenant=house.tenant).exists()

    made = api.ask("POST", "/api/group-rules", strong_key, rule)
    assert (made.status_code, made.json()["provider"], made.json()["project_ids"]) == (201, "own", [house.project.pk])
    assert api.ask("POST", "/api/group-rules", strong_key, rule).status_code == 409
    assert api.get("/api/group-rules", strong_key).json()["results"] == [made.json()]
    assert api.ask("DELETE", f"/api/group-rules/{made.json()['id']}", strong_key).status_code == 204


def test_I6_a_key_takes_no_rule_away_that_gives_more_than_it_has(api: Api, house: House, strong_key: HeldKey) -> None:
    system = Caller.system("tests", house.tenant)
    settings = ProviderSettings(issuer="https://127.0.0.1:1", client_id="c", client_secret=HUSH)
    own = providers.prepare_version(by=system, settings=settings).provider
    rule = add_rule(by=system, provider=own, group="admins", role=Role.ADMINISTRATOR)
    assert api.ask("DELETE", f"/api/group-rules/{rule.pk}", strong_key).status_code == 403
    assert GroupRule.objects.filter(pk=rule.pk).exists()


def test_who_asks_to_be_let_in_is_let_in_within_the_key_or_not(api: Api, house: House, strong_key: HeldKey) -> None:
    frank, erin = make_person("frank"), make_person("erin")
    first = AccessRequest.objects.create(person=frank, tenant=house.tenant, message="Hi")
    second = AccessRequest.objects.create(person=erin, tenant=house.tenant)
    listed = api.get("/api/access-requests", house.key(Scope.MEMBERS_READ)).json()["results"]
    assert [(row["id"], row["email"], row["message"]) for row in listed] == [
        (first.pk, frank.email, "Hi"),
        (second.pk, erin.email, ""),
    ]
    approve = f"/api/access-requests/{first.pk}/approve"
    here = [house.project.pk]
    for asked in ({"role": "owner", "project_ids": here}, {"role": "developer", "project_ids": None}):
        assert api.ask("POST", approve, strong_key, asked).status_code == 403
    asked = {"role": "developer", "project_ids": here}
    member = api.ask("POST", approve, strong_key, asked).json()
    assert (member["email"], member["role"], member["project_ids"]) == (frank.email, "developer", here)
    assert api.ask("POST", approve, strong_key, asked).status_code == 404
    assert api.ask("POST", f"/api/access-requests/{second.pk}/refuse", strong_key).status_code == 204
    assert not Membership.objects.filter(person=erin).exists()
    assert api.get("/api/access-requests", strong_key).json()["results"] == []


def test_who_became_a_member_meanwhile_is_no_second_one(api: Api, house: House, strong_key: HeldKey) -> None:
    frank = make_person("frank")
    asked = AccessRequest.objects.create(person=frank, tenant=house.tenant)
    add_member(by=Caller.system("tests", house.tenant), person=frank, role=Role.AUDITOR)
    body = {"role": "developer", "project_ids": [house.project.pk]}
    assert api.ask("POST", f"/api/access-requests/{asked.pk}/approve", strong_key, body).status_code == 409
    assert Membership.objects.get(person=frank).role == Role.AUDITOR
