"""Names in the order in which people look for them, in the database as in Python."""

import pytest

from identity.access import Caller, projects_for, tenants_of
from identity.members import add_member
from identity.models import Person, Role
from identity.name_order import by_name, name_key
from identity.projects import create_project
from tests.support.people import TESTS, as_member, make_cast, make_person, make_tenant

pytestmark = pytest.mark.usefixtures("database")
LOOKED_FOR = [
    "Ada",
    "ada lovelace",
    "Écoles",
    "Élus",
    "étude",
    "Façades",
    "Ñandú",
    "Öffentliches",
    "Voirie",
    "zoo",
]


def test_names_with_marks_and_small_letters_stand_where_they_are_looked_for() -> None:
    person = make_person("ada")
    for name in reversed(LOOKED_FOR):
        tenant = make_tenant(name)
        add_member(by=Caller.system("tests", tenant), person=person, role=Role.DEVELOPER)
    assert [tenant.name for tenant in tenants_of(person)] == LOOKED_FOR
    assert sorted(set(LOOKED_FOR), key=name_key) == LOOKED_FOR
    known = Person.objects.filter(pk=person.pk).order_by(by_name(), "email").distinct()
    assert list(known) == [person]


def test_projects_too() -> None:
    cast = make_cast()
    for name in reversed(LOOKED_FOR):
        create_project(cast.tenant, name, actor=TESTS)
    names = [project.name for project in projects_for(as_member(cast.alice, cast.tenant))]
    assert [name for name in names if name in LOOKED_FOR] == LOOKED_FOR
