"""I6 at the door of people: every address of the console, by every role and method."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoDbBlocker

from identity.access import Caller, caller_for_person
from identity.errors import NotFound
from identity.members import add_member
from identity.models import OperatorRole, Person, Role
from identity.permissions import OPERATOR_PERMISSIONS, ROLE_PERMISSIONS, TENANT_WIDE, Permission
from identity.projects import create_project
from tests.support.console import signed_in
from tests.support.console_world import ConsoleWorld, Route, console_routes, make_console_world
from tests.support.payers import paying
from tests.support.people import TESTS, make_operator, make_person

ROUTES = console_routes()
OF_TENANT = [route for route in ROUTES if route.is_of_tenant]
OF_OPERATORS = [route for route in ROUTES if route.is_of_operators]
OF_PERSON = [route for route in ROUTES if hasattr(route.view, "is_of_person")]
# Where people come in, and what sees to its own callers: the way in, and what a provider calls.
OPEN = {
    "break-glass", "logo", "oidc-back-channel", "oidc-callback", "sign-in", "sign-in-link", "sign-in-refused",
    "sign-in-with", "sign-out", "signed-out", "tenant-sign-in",
}  # fmt: skip
METHODS = ("GET", "POST")


@dataclass(frozen=True)
class Doors:
    """The world, and a browser for each kind of person."""

    world: ConsoleWorld
    members: dict[Role, Client]
    confined: Client
    operators: dict[OperatorRole, Client]
    strangers: dict[str, Client]

    def ask(self, client: Client, method: str, route: Route, slug: str = "") -> Any:
        """The answer at the route's address, of the world's tenant or of another."""
        address = self.world.address(route)
        if slug:
            address = address.replace(str(self.world.values["slug"]), slug)
        return client.generic(method, address)


@pytest.fixture(scope="module")
def doors(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Doors]:
    with django_db_blocker.unblock():
        world = make_console_world()
        tenant = world.cast.tenant
        people = {role: make_person(role.value, tenant, role) for role in Role}
        confined = make_person("dora")
        second = create_project(tenant, "Second", actor=TESTS)
        system = Caller.system("tests", tenant)
        add_member(by=system, person=confined, role=Role.ADMINISTRATOR, projects=[second])
        strangers: dict[str, Person] = {
            "another tenant's owner": world.cast.charlie,
            "somebody without membership": make_person("frank"),
            "somebody of its payer": (paul := make_person("paul")),
            "operator without a support session": make_operator(OperatorRole.PLATFORM),
        }
        paying(tenant, world.cast.alice, paul)
        yield Doors(
            world,
            {role: signed_in(person) for role, person in people.items()},
            signed_in(confined),
            {role: signed_in(make_operator(role)) for role in OperatorRole},
            {who: signed_in(person) for who, person in strangers.items()},
        )


def permission_of(route: Route) -> Permission:
    permission = getattr(route.view, "permission", None)
    assert isinstance(permission, Permission)
    return permission


def test_I6_every_address_asks_who_it_is() -> None:
    known = {route.name for route in OF_TENANT + OF_PERSON + OF_OPERATORS}
    unguarded = {route.name for route in ROUTES} - known
    assert unguarded == OPEN
    assert len(OF_TENANT) > 40


def test_I6_what_is_of_a_tenant_lies_under_its_name(doors: Doors) -> None:
    slug = doors.world.cast.tenant.slug
    for route in OF_TENANT:
        assert doors.world.address(route).startswith(f"/t/{slug}/"), route.name
    for route in OF_PERSON:
        assert slug not in doors.world.address(route), route.name


@pytest.mark.parametrize("route", OF_TENANT, ids=lambda route: route.name)
def test_I6_a_stranger_gets_the_answer_of_a_tenant_that_is_not_there(doors: Doors, route: Route) -> None:
    nowhere = [
        doors.ask(doors.strangers["another tenant's owner"], method, route, "no-such-tenant").status_code
        for method in METHODS
    ]
    assert 404 in nowhere
    for who, client in doors.strangers.items():
        if who == "operator without a support session":  # no session of theirs opens anything here: to the sign-in
            assert {doors.ask(client, method, route).status_code for method in METHODS} <= {302, 405}
            continue
        assert [doors.ask(client, method, route).status_code for method in METHODS] == nowhere, who


@pytest.mark.parametrize("route", OF_TENANT + OF_PERSON, ids=lambda route: route.name)
def test_I6_no_page_takes_other_methods(doors: Doors, route: Route) -> None:
    owner = doors.members[Role.OWNER]
    assert [doors.ask(owner, method, route).status_code for method in ("PUT", "PATCH", "DELETE")] == [405] * 3


@pytest.mark.parametrize("route", OF_TENANT, ids=lambda route: route.name)
def test_I6_a_role_that_is_too_weak_gets_403_and_any_other_a_page(doors: Doors, route: Route) -> None:
    permission = permission_of(route)
    for role, client in doors.members.items():
        may = permission in ROLE_PERMISSIONS[role]
        # Who may is asked by GET only: a POST would do it.
        if may:
            assert doors.ask(client, "GET", route).status_code in (200, 204, 302, 405), role
        else:
            statuses = {doors.ask(client, method, route).status_code for method in METHODS}
            assert 403 in statuses <= {403, 405}, role


@pytest.mark.parametrize(
    "route", [route for route in OF_TENANT if permission_of(route) in TENANT_WIDE], ids=lambda route: route.name
)
def test_I6_an_administrator_of_some_projects_gets_nothing_of_the_whole_tenant(doors: Doors, route: Route) -> None:
    for method in METHODS:
        assert doors.ask(doors.confined, method, route).status_code in (403, 405), method


@pytest.mark.parametrize("part", ["lookup", "project_id"])
def test_I6_an_administrator_of_some_projects_finds_nothing_of_the_others(doors: Doors, part: str) -> None:
    routes = [route for route in OF_TENANT if part in route.parts and permission_of(route) not in TENANT_WIDE]
    assert routes
    for route in routes:
        for method in METHODS:
            assert doors.ask(doors.confined, method, route).status_code in (404, 405), (route.name, method)


@pytest.mark.parametrize("route", OF_OPERATORS, ids=lambda route: route.name)
def test_I6_a_page_of_the_operator_is_for_operators_whose_role_may(doors: Doors, route: Route) -> None:
    assert doors.world.address(route).startswith("/operator/")
    for role, client in doors.operators.items():
        if route.view.operator_permission in OPERATOR_PERMISSIONS[role]:  # type: ignore[attr-defined]
            assert doors.ask(client, "GET", route).status_code in (200, 302, 405), role
        else:
            statuses = {doors.ask(client, method, route).status_code for method in METHODS}
            assert 403 in statuses <= {403, 405}, role
    for nobody in (*doors.members.values(), *doors.strangers.values()):
        if nobody is not doors.strangers["operator without a support session"]:
            assert {doors.ask(nobody, method, route).status_code for method in METHODS} <= {302, 405}


@pytest.mark.parametrize("route", OF_TENANT + OF_PERSON + OF_OPERATORS, ids=lambda route: route.name)
def test_I6_who_is_not_signed_in_is_sent_to_sign_in(doors: Doors, route: Route) -> None:
    nobody = signed_in(None)
    for method in METHODS:
        answer = doors.ask(nobody, method, route)
        assert answer.status_code in (302, 405), method
        if answer.status_code == 302:
            way_in = "/operator/sign-in" if route.is_of_operators else "/sign-in"
            assert answer["Location"].startswith(way_in), method


@pytest.mark.usefixtures("database")
def test_I6_the_strangers_of_this_sweep_are_strangers(doors: Doors) -> None:
    with pytest.raises(NotFound):
        caller_for_person(doors.world.cast.charlie, doors.world.cast.tenant.slug)
