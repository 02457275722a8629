"""Who does what: every duty is somebody's, and everything that is named is there."""

import pytest
from django.urls import get_resolver, reverse

from console.operator_site import URLS
from console.responsibilities import ACTIVITIES, PAGE_NAMES, Activity, Side
from identity.errors import Conflict, Invalid
from identity.models import AuditEvent, OperatorRole, Role
from identity.notice_kinds import KINDS
from identity.notices import inbox
from identity.operator_messages import MESSAGES_A_DAY_MAX, Topic, tell_operator
from identity.permissions import OPERATOR_PERMISSIONS, ROLE_PERMISSIONS, OperatorPermission, Permission
from tests.support.console import page, signed_in
from tests.support.people import as_member, make_cast, make_operator

SIDES = [
    pytest.param(activity, side, id=f"{number}-{who}")
    for number, activity in enumerate(ACTIVITIES, 1)
    for who, side in (("client", activity.client), ("operator", activity.operator))
    if side.letters
]


def addresses() -> set[str]:
    return {name for name in get_resolver().reverse_dict if isinstance(name, str)}


def test_there_are_the_matrixs_24_activities_and_each_is_done_and_answered_for_once() -> None:
    assert len(ACTIVITIES) == 24
    assert len({str(activity.label) for activity in ACTIVITIES}) == 24
    for activity in ACTIVITIES:
        letters = activity.client.letters + activity.operator.letters
        assert (letters.count("R"), letters.count("A")) == (1, 1), str(activity.label)


@pytest.mark.parametrize(("activity", "side"), SIDES)
def test_every_letter_is_fulfilled(activity: Activity, side: Side) -> None:
    assert set(side.letters) <= set("RACI")
    if set(side.letters) & set("RA"):
        assert side.permissions or side.outside, str(activity.label)
    if set(side.letters) & set("CI"):
        assert side.notices or side.pages, str(activity.label)


@pytest.mark.parametrize(("activity", "side"), SIDES)
def test_what_is_named_is_there(activity: Activity, side: Side) -> None:
    assert set(side.notices) <= KINDS.keys()
    assert set(side.pages) <= PAGE_NAMES.keys()
    assert set(side.pages) <= addresses()
    kind = Permission if side is activity.client else OperatorPermission
    assert all(isinstance(permission, kind) for permission in side.permissions)
    assert not activity.act or activity.act in addresses()


@pytest.mark.parametrize(("activity", "side"), SIDES)
def test_somebody_can_do_all_of_it(activity: Activity, side: Side) -> None:
    ours = {one for one in side.permissions if isinstance(one, Permission)}
    theirs = {one for one in side.permissions if isinstance(one, OperatorPermission)}
    assert not ours or [role for role in Role if ours <= ROLE_PERMISSIONS[role]]
    assert not theirs or [role for role in OperatorRole if theirs <= OPERATOR_PERMISSIONS[role]]


def test_every_role_has_something_to_do() -> None:
    needed = {permission for activity in ACTIVITIES for permission in activity.client.permissions}
    assert all(ROLE_PERMISSIONS[role] & needed for role in Role)


@pytest.mark.usefixtures("database")
def test_the_page_names_the_readers_organisation_and_leads_where_they_may_act() -> None:
    cast = make_cast()
    shown = page(signed_in(cast.alice).get(reverse("who-does-what")))
    assert cast.tenant.name in shown
    assert reverse("members", kwargs={"slug": cast.tenant.slug}) in shown.split("<main", 1)[1]
    bobs = page(signed_in(cast.bob).get(reverse("who-does-what"))).split("<main", 1)[1]
    assert reverse("members", kwargs={"slug": cast.tenant.slug}) not in bobs
    assert reverse("keys", kwargs={"slug": cast.tenant.slug}) in bobs
    page(signed_in(make_operator()).get(reverse("who-does-what", urlconf=URLS)))


@pytest.mark.usefixtures("database")
def test_what_a_member_tells_reaches_the_operators_and_nobody_else() -> None:
    cast, operator = make_cast(), make_operator()
    address = reverse("tell-operator", kwargs={"slug": cast.tenant.slug})
    asked = {"topic": "data_protection", "message": "We need a data processing agreement."}
    assert "The operator has been told." in page(signed_in(cast.bob).post(address, asked, follow=True))
    told = next(entry.notice for entry in inbox(operator) if entry.notice.kind == "operator.told")
    assert told.context["message"] == "We need a data processing agreement."
    assert "operator.told" not in [entry.notice.kind for entry in inbox(cast.alice)]
    event = AuditEvent.objects.get(tenant=cast.tenant, action="operator.told")
    assert "agreement" not in str(event.detail)


@pytest.mark.usefixtures("database")
def test_what_is_told_is_something_and_not_too_often() -> None:
    cast = make_cast()
    bob = as_member(cast.bob, cast.tenant)
    for message in ("", "x" * 2_001, "\0"):
        with pytest.raises(Invalid):
            tell_operator(by=bob, topic=Topic.OTHER, message=message)
    for number in range(MESSAGES_A_DAY_MAX):
        tell_operator(by=bob, topic=Topic.OTHER, message=f"message {number}")
    with pytest.raises(Conflict):
        tell_operator(by=bob, topic=Topic.OTHER, message="one more")
