"""People through the API: a key touches only members who may do no more than itself, and makes nobody stronger."""

from datetime import timedelta
from uuid import uuid4

import pytest

from identity.access import Caller
from identity.access_reviews import start_review
from identity.members import add_member
from identity.models import Invitation, Membership, Person, Role
from identity.scopes import Scope
from identity.support_sessions import live_sessions, open_session
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import HeldKey, House
from tests.support.people import make_operator, make_person


def member(house: House, role: Role, *, in_project: bool = False) -> Person:
    person = make_person("dora")
    projects = [house.project] if in_project else None
    add_member(by=Caller.system("tests", house.tenant), person=person, role=role, projects=projects)
    return person


def address() -> str:
    return f"erin-{uuid4().hex}@example.org"


def test_members_are_listed_page_by_page(api: Api, house: House) -> None:
    people = {str(member(house, Role.DEVELOPER).pseudonym) for _ in range(3)}
    key = house.key(Scope.MEMBERS_READ)
    first = api.get("/api/members?limit=2", key).json()
    second = api.get(first["next"], key).json()
    assert {row["id"] for row in first["results"] + second["results"]} == people
    assert second["next"] is None
    assert first["results"][0]["project_ids"] is None


def test_a_key_invites_developers_to_its_own_project(api: Api, house: House, strong_key: HeldKey) -> None:
    email = address()
    asked = {"email": email, "role": "developer", "project_ids": [house.project.pk]}
    created = api.ask("POST", "/api/invitations", strong_key, asked)
    assert (created.status_code, created.json()["project_ids"]) == (201, [house.project.pk])
    listed = api.get("/api/invitations", strong_key).json()["results"]
    assert [(row["email"], row["role"]) for row in listed] == [(email, "developer")]
    assert api.ask("DELETE", f"/api/invitations/{created.json()['id']}", strong_key).status_code == 204
    assert api.get("/api/invitations", strong_key).json()["results"] == []


@pytest.mark.parametrize("role", ["owner", "administrator", "auditor"])
def test_I6_a_key_invites_nobody_to_more_than_it_has(api: Api, house: House, role: str) -> None:
    key = house.key(Scope.MEMBERS_MANAGE)
    here = [house.project.pk]
    elsewhere = [house.project_called("Elsewhere").pk]
    for asked, status in (
        ({"role": role, "project_ids": None}, 403),
        ({"role": "developer", "project_ids": here}, 403),  # it cannot call models itself
        ({"role": "developer", "project_ids": elsewhere}, 404),
    ):
        assert api.ask("POST", "/api/invitations", key, {"email": address()} | asked).status_code == status
    assert not Invitation.objects.filter(tenant=house.tenant).exists()


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMINISTRATOR, Role.FINANCE])
def test_I6_a_key_touches_nobody_who_may_do_more(api: Api, house: House, role: Role) -> None:
    key = house.key(Scope.MEMBERS_MANAGE, Scope.KEYS_MANAGE, Scope.INFERENCE)
    person = member(house, role)
    member(house, Role.OWNER)
    one = f"/api/members/{person.pseudonym}"
    changed = {"role": "developer", "project_ids": [house.project.pk]}
    for answer in (api.ask("PATCH", one, key, changed), api.ask("DELETE", one, key)):
        assert (answer.status_code, problem_of(answer)["code"] != "") == (403, True)
    assert Membership.objects.get(person=person).role == role


def test_a_key_changes_and_removes_who_is_within_it(api: Api, house: House, strong_key: HeldKey) -> None:
    person = member(house, Role.DEVELOPER, in_project=True)
    one = f"/api/members/{person.pseudonym}"
    wider = api.ask("PATCH", one, strong_key, {"role": "developer", "project_ids": None})
    assert wider.status_code == 403
    heir = member(house, Role.DEVELOPER)
    assert api.ask("DELETE", f"{one}?heir={heir.pseudonym}", strong_key).status_code == 204
    assert not Membership.objects.filter(person=person).exists()


def test_reviews_and_support_sessions_are_read_and_a_session_is_ended(api: Api, house: House) -> None:
    person = member(house, Role.DEVELOPER)
    review = start_review(by=Caller.system("tests", house.tenant))
    session = open_session(
        operator=make_operator(), slug=house.tenant.slug, reason="Ticket 4711", duration=timedelta(hours=1)
    )
    reads, manages = house.key(Scope.MEMBERS_READ), house.key(Scope.MEMBERS_MANAGE)
    [listed] = api.get("/api/access-reviews", reads).json()["results"]
    assert (listed["id"], listed["members"], listed["undecided"]) == (review.pk, 1, 1)
    [line] = api.get(f"/api/access-reviews/{review.pk}", reads).json()["lines"]
    assert (line["member"], line["decision"]) == (str(person.pseudonym), "")
    [shown] = api.get("/api/support-sessions", reads).json()["results"]
    assert (shown["reason"], shown["granted"]) == ("Ticket 4711", [])
    assert problem_of(api.ask("DELETE", f"/api/support-sessions/{session.pk}", reads))["code"] == "scope_missing"
    assert api.ask("DELETE", f"/api/support-sessions/{session.pk}", manages).status_code == 204
    assert live_sessions(house.tenant) == []
