"""Who runs the platform."""

import pytest

from identity.errors import Conflict, Forbidden
from identity.members import add_member
from identity.models import AuditEvent, OperatorAppointment, OperatorRole, Person, Role
from identity.operators import appoint_operator, dismiss_operator, permissions_for_operator, require_operator
from identity.people import switch_person_off
from identity.permissions import OPERATOR_PERMISSIONS, OperatorPermission
from tests.support.people import TESTS, as_member, make_cast, make_operator, make_person

pytestmark = pytest.mark.usefixtures("database")


@pytest.mark.parametrize("role", list(OperatorRole))
def test_an_operator_may_do_what_the_role_says_and_nothing_else(role: OperatorRole) -> None:
    operator = make_operator(role)
    for permission in OperatorPermission:
        if permission in OPERATOR_PERMISSIONS[role]:
            require_operator(operator, permission)
        else:
            with pytest.raises(Forbidden, match=permission.value):
                require_operator(operator, permission)


def test_every_right_on_the_platform_is_somebodys() -> None:
    assert set(OPERATOR_PERMISSIONS) == set(OperatorRole)
    assert frozenset().union(*OPERATOR_PERMISSIONS.values()) == set(OperatorPermission)


def test_a_member_is_no_operator_and_the_other_way_round() -> None:
    cast = make_cast()
    with pytest.raises(Conflict, match="same account"):
        appoint_operator(cast.bob, OperatorRole.SUPPORT, actor=TESTS)
    assert permissions_for_operator(cast.bob) == frozenset()
    with pytest.raises(Conflict, match="support session"):
        add_member(by=as_member(cast.alice, cast.tenant), person=make_operator(), role=Role.AUDITOR)


def test_roles_add_up_and_go_one_by_one() -> None:
    person = make_operator(OperatorRole.SUPPORT)
    assert appoint_operator(person, OperatorRole.BILLING, actor=TESTS)
    assert not appoint_operator(person, OperatorRole.BILLING, actor=TESTS)
    both = OPERATOR_PERMISSIONS[OperatorRole.SUPPORT] | OPERATOR_PERMISSIONS[OperatorRole.BILLING]
    assert permissions_for_operator(person) == both
    assert dismiss_operator(person, OperatorRole.SUPPORT, actor=TESTS)
    assert not dismiss_operator(person, OperatorRole.SUPPORT, actor=TESTS)
    assert permissions_for_operator(person) == OPERATOR_PERMISSIONS[OperatorRole.BILLING]
    assert dismiss_operator(person, OperatorRole.BILLING, actor=TESTS)
    assert not person.is_operator
    mine = AuditEvent.objects.filter(tenant=None, target=str(person.pseudonym)).order_by("sequence")
    assert [event.action for event in mine][-4:] == [
        "operator.appointed", "operator.appointed", "operator.dismissed", "operator.dismissed",
    ]  # fmt: skip


def test_an_operator_switched_off_may_do_nothing() -> None:
    operator = make_operator()
    switch_person_off(operator, actor=TESTS)
    assert permissions_for_operator(operator) == frozenset()


@pytest.mark.django_db
def test_the_last_platform_operator_stays() -> None:
    last = make_operator()
    others = OperatorAppointment.objects.filter(role=OperatorRole.PLATFORM).exclude(person=last)
    Person.objects.filter(appointments__in=others).update(is_active=False)  # whom other tests made; rolled back
    with pytest.raises(Conflict, match="at least one"):
        dismiss_operator(last, OperatorRole.PLATFORM, actor=TESTS)


def test_somebody_who_is_made_an_operator_at_once_runs_the_platform() -> None:
    assert permissions_for_operator(make_operator()) == OPERATOR_PERMISSIONS[OperatorRole.PLATFORM]
    assert permissions_for_operator(make_person("nobody")) == frozenset()
