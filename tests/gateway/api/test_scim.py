"""SCIM 2.0: a tenant's directory brings people, changes them, and takes them away at once."""

import re
import uuid
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone

from gateway.api.scim import rate
from gateway.api.scim.filters import SEARCH
from identity.access import Caller
from identity.errors import Forbidden
from identity.group_rules import add_rule
from identity.group_rules import apply as apply_groups
from identity.key_handover import keys_without_responsible
from identity.members import add_member, remove_member
from identity.models import (
    AuditEvent,
    IdentityProvider,
    Membership,
    Person,
    Role,
    ScimToken,
    SignIn,
)
from identity.people import create_person
from identity.scim_tokens import make_token, revoke_token
from tests.support.console import page, signed_in
from tests.support.people import TESTS, Cast, as_member, make_key, make_operator
from tests.support.scim import USER, Directory, directory_of, refused


def person_of(user: dict[str, Any]) -> Person:
    return Person.objects.get(pseudonym=user["id"])


def test_S7_the_life_of_a_user(directory: Directory) -> None:
    user = directory.made("erin", externalId="e-1")
    assert (user["active"], user["displayName"], user["externalId"]) == (True, "Erin", "e-1")
    erin = person_of(user)
    membership = Membership.objects.get(person=erin, tenant=directory.cast.tenant)
    assert (membership.role, membership.source, membership.in_all_projects) == (Role.DEVELOPER, "scim", True)
    again = directory.ask("GET", f"/Users/{user['id']}")
    assert again.json() == user
    replaced = directory.ask("PUT", f"/Users/{user['id']}", directory.body("erin", displayName="Erin Example"))
    assert (replaced.status_code, replaced.json()["displayName"]) == (200, "Erin Example")
    assert "externalId" not in replaced.json()
    assert person_of(user).name == "Erin Example"
    assert directory.ask("DELETE", f"/Users/{user['id']}").status_code == 204
    refused(directory.ask("GET", f"/Users/{user['id']}"), 404)
    refused(directory.ask("DELETE", f"/Users/{user['id']}"), 404)
    assert not Membership.objects.filter(person=erin).exists()
    assert directory.made("erin")["id"] == user["id"]
    told = AuditEvent.objects.filter(tenant=directory.cast.tenant, target=str(erin.pseudonym), door="scim")
    assert list(told.order_by("sequence").values_list("action", flat=True)) == [
        "scim_user.created", "member.added", "scim_user.changed", "member.removed", "scim_user.deactivated",
        "scim_user.deleted", "scim_user.created", "member.added",
    ]  # fmt: skip


def test_S7_deactivation_ends_sessions_and_personal_keys_at_the_next_request_and_a_projects_key_goes_on(
    directory: Directory,
) -> None:
    cast = directory.cast
    user = directory.made("erin")
    erin = person_of(user)
    browser = signed_in(erin)
    _personal, personal_text = make_key(cast.tenant, owner=erin)
    projects, projects_text = make_key(cast.tenant)
    type(projects).objects.filter(pk=projects.pk).update(responsible=erin)
    alice = as_member(cast.alice, cast.tenant)
    overview = f"/t/{cast.tenant.slug}/keys"

    def asked(text: str) -> int:
        return Client(HTTP_HOST="localhost").get("/api/key", headers={"Authorization": f"Bearer {text}"}).status_code

    assert (browser.get(overview).status_code, asked(personal_text), asked(projects_text)) == (200, 200, 200)
    assert projects not in keys_without_responsible(alice)
    response = directory.patch(user, {"op": "replace", "path": "active", "value": False})
    assert (response.status_code, response.json()["active"]) == (200, False)
    assert browser.get(overview).status_code == 302
    assert (asked(personal_text), asked(projects_text)) == (401, 200)
    assert list(keys_without_responsible(alice)) == [projects]
    [ended] = SignIn.objects.filter(person=erin)
    assert (ended.end_reason, ended.ended_at is not None) == ("directory", True)
    assert AuditEvent.objects.filter(tenant=cast.tenant, action="sign_in.ended", target=str(ended.pk)).exists()
    back = directory.patch(user, {"op": "replace", "path": "active", "value": True})
    assert back.json()["active"] is True
    assert asked(personal_text) == 401
    assert signed_in(erin).get(overview).status_code == 200


def test_S7_who_is_in_another_tenant_too_keeps_what_is_there(directory: Directory) -> None:
    cast = directory.cast
    grace = create_person(email=directory.address("grace"), name="Grace", actor=TESTS)
    add_member(by=Caller.system("tests", cast.strangers), person=grace, role=Role.FINANCE)
    there, _ = make_key(cast.strangers, owner=grace)
    provider = IdentityProvider.objects.create(audience="tenant", tenant=cast.tenant, name="ours")
    signed_in(grace)
    signed_in(grace)
    through_us = SignIn.objects.filter(person=grace).latest("id")
    SignIn.objects.filter(pk=through_us.pk).update(provider=provider)
    user = directory.made("grace", displayName="Somebody Else")
    assert person_of(user) == grace
    assert (person_of(user).name, user["displayName"]) == ("Grace", "Somebody Else")
    moved = directory.address("grace.two")
    refused(directory.patch(user, {"op": "replace", "path": "emails", "value": [{"value": moved}]}), 400, "mutability")
    directory.patch(user, {"op": "replace", "path": "active", "value": False})
    assert list(Membership.objects.filter(person=grace).values_list("tenant", "role")) == [
        (cast.strangers.pk, Role.FINANCE)
    ]
    there.refresh_from_db()
    assert there.revoked_at is None
    assert list(SignIn.objects.filter(person=grace, ended_at=None).values_list("provider", flat=True)) == [None]
    assert not SignIn.objects.filter(pk=through_us.pk, ended_at=None).exists()


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "Replace", "path": "active", "value": "False"},
        {"op": "Replace", "value": {"active": "False"}},
        {"op": "replace", "value": {"active": False}},
        {"op": "add", "path": f"{USER}:active", "value": "false"},
    ],
)
def test_S7_a_deactivation_is_understood_as_entra_id_and_okta_write_it(
    directory: Directory, operation: dict[str, Any]
) -> None:
    user = directory.made("erin")
    assert directory.patch(user, operation).json()["active"] is False
    assert directory.found(f'userName eq "{user["userName"]}"') == [user["userName"]]
    up = operation | {"value": {"active": "True"} if "path" not in operation else "True"}
    assert directory.patch(user, up).json()["active"] is True


def test_names_and_addresses_are_patched_in_all_their_forms(directory: Directory) -> None:
    user = directory.made("erin")
    new, newer = directory.address("erin.new"), directory.address("erin.newer")
    patched = directory.patch(
        user,
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": new},
        {"op": "Add", "path": "displayName", "value": "Erin New"},
        {"op": "Replace", "value": {"externalId": "e-2", "name.familyName": "New", "nickName": "E"}},
        {"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "value": "IT"},
        {"op": "Replace", "path": 'emails[type eq "home"].value', "value": "erin@home.example"},
    ).json()
    assert (patched["emails"][0]["value"], patched["displayName"], patched["externalId"]) == (new, "Erin New", "e-2")
    assert (person_of(user).email, person_of(user).name) == (new, "Erin New")
    patched = directory.patch(user, {"op": "replace", "path": "userName", "value": "erin"}).json()
    assert (patched["userName"], patched["emails"][0]["value"]) == ("erin", new)
    patched = directory.patch(user, {"op": "replace", "value": {"emails": [{"value": newer, "primary": True}]}}).json()
    assert patched["emails"][0]["value"] == newer
    patched = directory.patch(user, {"op": "remove", "path": "externalId"}).json()
    assert "externalId" not in patched


def test_lists_are_filtered_and_paged(directory: Directory) -> None:
    names = [directory.made(name, externalId=f"id-{name}")["userName"] for name in ("ann", "ben", "cay")]
    assert directory.found(f'userName eq "{names[1].upper()}"') == [names[1]]
    assert directory.found('externalId eq "id-cay"') == [names[2]]
    assert directory.found('externalId eq "ID-CAY"') == []
    assert directory.found('userName eq "nobody\\u0000"') == []
    page = directory.ask("GET", "/Users?startIndex=2&count=1").json()
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (3, 2, 1)
    assert [user["userName"] for user in page["Resources"]] == names[1:2]
    assert directory.ask("GET", "/Users?count=0").json()["Resources"] == []
    assert len(directory.ask("GET", "/Users?startIndex=-5&count=9999").json()["Resources"]) == 3
    wanted = directory.ask("GET", "/Users?attributes=userName,emails.value&count=1").json()["Resources"][0]
    assert set(wanted) == {"schemas", "id", "userName", "emails"}
    kept = directory.ask("GET", f"/Users/{wanted['id']}?excludedAttributes=displayName,{USER}:name,id").json()
    assert set(kept) == {"schemas", "id", "userName", "emails", "active", "externalId", "meta"}
    for wrong in ('displayName co "a"', "userName eq ann", 'userName eq "a" or userName eq "b"'):
        refused(directory.ask("GET", f"/Users?{urlencode({'filter': wrong})}"), 400, "invalidFilter")
    refused(directory.ask("GET", "/Users?count=many"), 400, "invalidValue")


def test_I6_a_directory_sees_and_touches_its_own_tenant_only(directory: Directory) -> None:
    cast = directory.cast
    other_cast = Cast(cast.strangers, cast.project, cast.charlie, cast.charlie, cast.tenant, cast.alice)
    other = directory_of(other_cast, cast.charlie)
    user = directory.made("erin")
    assert other.ask("GET", "/Users").json()["totalResults"] == 0
    for method, body in (("GET", None), ("PUT", other.body("erin")), ("DELETE", None)):
        refused(other.ask(method, f"/Users/{user['id']}", body), 404)
    refused(other.patch(user, {"op": "replace", "path": "active", "value": False}), 404)
    refused(directory.ask("GET", f"/Users/{cast.bob.pseudonym}"), 404)
    assert directory.ask("GET", f"/Users/{user['id']}").json()["active"] is True
    theirs = Directory(cast, directory.domain, other.token, other.text)
    refused(theirs.ask("GET", "/Users"), 401)


def test_only_a_live_token_opens_the_door(directory: Directory) -> None:
    for authorization in ("", "Bearer ", "Bearer nonsense", f"Basic {directory.text}", "Bearer \udcff"):
        sent = authorization.encode("utf-8", "surrogateescape").decode("latin-1")
        response = directory.ask("GET", "/Users", Authorization=sent)
        refused(response, 401)
        assert response["WWW-Authenticate"].startswith("Bearer")
    assert directory.ask("GET", "/Users").status_code == 200
    alice = as_member(directory.cast.alice, directory.cast.tenant)
    with pytest.raises(Forbidden):
        make_token(by=as_member(directory.cast.bob, directory.cast.tenant), name="mine")
    revoke_token(by=alice, token_id=directory.token.pk, now=timezone.now())
    refused(directory.ask("GET", "/Users"), 401)
    directory.token.refresh_from_db()
    assert directory.token.last_used_at is not None
    assert directory.text.encode() not in bytes(directory.token.digest)


def test_only_addresses_of_confirmed_domains_and_nobody_of_the_operators(directory: Directory) -> None:
    elsewhere = f"mallory@{uuid.uuid4().hex}.example"
    refused(directory.ask("POST", "/Users", directory.body("x", emails=[{"value": elsewhere}])), 400, "invalidValue")
    assert not Person.objects.filter(email=elsewhere).exists()
    user = directory.made("erin")
    wanted = {"op": "replace", "path": "emails", "value": [{"value": elsewhere}]}
    refused(directory.patch(user, wanted), 400, "invalidValue")
    olga = make_operator()
    Person.objects.filter(pk=olga.pk).update(email=directory.address("olga"))
    refused(directory.ask("POST", "/Users", directory.body("olga")), 409, "uniqueness")
    refused(directory.ask("POST", "/Users", directory.body("erin")), 409, "uniqueness")
    second = directory.made("frank")
    taken = {"op": "replace", "path": "userName", "value": user["userName"].upper()}
    refused(directory.patch(second, taken), 409, "uniqueness")
    assert not Membership.objects.filter(person=olga).exists()


def test_who_was_invited_keeps_role_and_source_until_the_directory_takes_them_away(directory: Directory) -> None:
    bob = directory.cast.bob
    Person.objects.filter(pk=bob.pk).update(email=directory.address("bob"))
    user = directory.made("bob", roles=[{"value": "anything"}])
    assert user["id"] == str(bob.pseudonym)
    assert Membership.objects.get(person=bob).source == "invitation"
    assert directory.patch(user, {"op": "replace", "path": "active", "value": False}).json()["active"] is False
    assert not Membership.objects.filter(person=bob).exists()


def test_the_last_owner_stays_and_only_an_owners_token_ends_an_owner(directory: Directory) -> None:
    cast = directory.cast
    Person.objects.filter(pk=cast.alice.pk).update(email=directory.address("alice"))
    user = directory.made("alice")
    down = {"op": "replace", "path": "active", "value": False}
    refused(directory.patch(user, down), 409)
    gus = create_person(email=directory.address("gus"), name="gus", actor=TESTS)
    add_member(by=Caller.system("tests", cast.tenant), person=gus, role=Role.ADMINISTRATOR)
    add_member(by=Caller.system("tests", cast.tenant), person=cast.charlie, role=Role.OWNER)
    token, text = make_token(by=as_member(gus, cast.tenant), name="of an administrator")
    refused(Directory(cast, directory.domain, token, text).patch(user, down), 403)
    assert Membership.objects.filter(person=cast.alice, tenant=cast.tenant).exists()
    assert directory.patch(user, down).status_code == 200


def test_group_rules_give_the_role_and_a_sign_in_does_not_bring_back_whom_the_directory_deactivated(
    directory: Directory,
) -> None:
    cast = directory.cast
    provider = IdentityProvider.objects.create(audience="tenant", tenant=cast.tenant, name="ours")
    alice = as_member(cast.alice, cast.tenant)
    add_rule(by=alice, provider=provider, group="controlling", role=Role.FINANCE)
    user = directory.made("erin", roles=[{"value": "controlling"}])
    erin = person_of(user)
    assert Membership.objects.get(person=erin).role == Role.FINANCE
    directory.patch(user, {"op": "remove", "path": "roles"})
    assert Membership.objects.get(person=erin).role == Role.DEVELOPER
    directory.patch(user, {"op": "replace", "path": "active", "value": False})
    apply_groups(erin, provider, frozenset({"controlling"}))
    assert not Membership.objects.filter(person=erin).exists()


def test_it_says_what_it_can_do(directory: Directory) -> None:
    able = directory.ask("GET", "/ServiceProviderConfig").json()
    assert (able["patch"]["supported"], able["bulk"]["supported"], able["filter"]["maxResults"]) == (True, False, 200)
    [kind] = directory.ask("GET", "/ResourceTypes").json()["Resources"]
    [schema] = directory.ask("GET", "/Schemas").json()["Resources"]
    assert kind["schema"] == schema["id"] == USER
    for resource in (able, kind, schema):
        path = resource["meta"]["location"].partition(directory.cast.tenant.slug)[2]
        assert directory.ask("GET", path).json() == resource


def test_a_user_whom_an_owner_removed_here_is_inactive_there(directory: Directory) -> None:
    user = directory.made("erin")
    remove_member(by=Caller.system("tests", directory.cast.tenant), person=person_of(user))
    assert directory.ask("GET", f"/Users/{user['id']}").json()["active"] is False


def test_a_token_is_made_shown_once_and_revoked_on_the_settings_page(directory: Directory) -> None:
    cast = directory.cast
    browser = signed_in(cast.alice)
    address = f"/t/{cast.tenant.slug}/settings/sign-in"
    made = page(browser.post(f"{address}/tokens", {"name": "The next one"}))
    [text] = set(re.findall(r"bfr_scim_[\w-]+", made))
    assert Directory(cast, directory.domain, directory.token, text).ask("GET", "/Users").status_code == 200
    shown = page(browser.get(address))
    assert "The next one" in shown
    assert text not in shown
    assert f"/scim/v2/{cast.tenant.slug}</code>" in shown
    newest = ScimToken.objects.filter(tenant=cast.tenant).latest("id")
    assert browser.post(f"{address}/tokens/{newest.pk}/revoke").status_code == 302
    refused(Directory(cast, directory.domain, directory.token, text).ask("GET", "/Users"), 401)
    assert signed_in(cast.bob).post(f"{address}/tokens", {"name": "mine"}).status_code == 403
    page(browser.post(f"{address}/tokens", {"name": ""}))


def test_a_search_asks_in_its_body_what_a_list_asks_in_its_address(directory: Directory) -> None:
    names = [directory.made(name)["userName"] for name in ("ann", "ben", "cay")]
    for path in ("/.search", "/Users/.search"):
        asked = {"schemas": [SEARCH], "filter": f'userName eq "{names[1]}"', "attributes": ["userName"]}
        [found] = directory.ask("POST", path, asked).json()["Resources"]
        assert (found["userName"], set(found)) == (names[1], {"schemas", "id", "userName"})
    second = directory.ask("POST", "/.search", {"schemas": [SEARCH], "startIndex": 2, "count": 1}).json()
    assert (second["totalResults"], second["startIndex"], len(second["Resources"])) == (3, 2, 1)
    wrongs: list[object] = [
        {},
        {"schemas": [SEARCH], "count": "many"},
        {"schemas": [SEARCH], "attributes": "userName"},
        [],
    ]
    for wrong in wrongs:
        assert directory.ask("POST", "/.search", wrong).status_code == 400


def test_removing_active_makes_a_user_active(directory: Directory) -> None:
    user = directory.made("erin")
    directory.patch(user, {"op": "replace", "path": "active", "value": False})
    assert directory.patch(user, {"op": "remove", "path": "active"}).json()["active"] is True


def test_a_token_that_asks_too_often_waits_and_others_do_not(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate, "REQUESTS_A_MINUTE", 3)
    monkeypatch.setattr(rate, "_MINUTE_S", 10**10)  # none ends while the test looks
    assert [directory.ask("GET", "/Users").status_code for _ in range(4)] == [200, 200, 200, 429]
    busy = directory.ask("GET", "/Users")
    refused(busy, 429)
    assert int(busy["Retry-After"]) > 0
    alice = as_member(directory.cast.alice, directory.cast.tenant)
    token, text = make_token(by=alice, name="another")
    assert Directory(directory.cast, directory.domain, token, text).ask("GET", "/Users").status_code == 200


def test_X4_what_a_directory_is_refused_is_told_in_the_organisations_audit(directory: Directory) -> None:
    tenant = directory.cast.tenant
    directory.ask("GET", "/Users")
    directory.ask("GET", f"/Users/{uuid.uuid4()}")
    directory.ask("GET", "/Users", Authorization="Bearer nonsense")
    revoke_token(by=as_member(directory.cast.alice, tenant), token_id=directory.token.pk, now=timezone.now())
    refused(directory.ask("GET", "/Users"), 401)
    told = AuditEvent.objects.filter(tenant=tenant, action="access.refused").order_by("sequence")
    assert [(event.actor, event.door, event.target, event.detail["status"]) for event in told] == [
        ("scim", "scim", "scim-user", 404),
        ("scim", "scim", "scim-users", 401),
    ]
