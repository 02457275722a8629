"""Members, reviews and support sessions, as people see them."""

import uuid

import pytest
from django.urls import reverse

from console.operator_site import URLS
from identity.access_reviews import start_review
from identity.api_keys import mint_api_key
from identity.key_policy import KeyPolicy
from identity.models import (
    AccessRequest,
    AccessReview,
    ApiKey,
    Invitation,
    Membership,
    OperatorRole,
    Person,
    Role,
    SupportSession,
)
from identity.projects import create_project
from identity.scopes import Scope
from identity.support_sessions import live_sessions
from tests.support.console import page, signed_in
from tests.support.people import TESTS, Cast, as_member, make_cast, make_operator, make_person

pytestmark = pytest.mark.usefixtures("database")


def at(cast: Cast, name: str, **parts: object) -> str:
    return reverse(name, kwargs={"slug": cast.tenant.slug, **parts})


def inside(cast: Cast, name: str, **parts: object) -> str:
    """The same page, as an operator in a support session opens it."""
    return reverse(name, urlconf=URLS, kwargs={"slug": cast.tenant.slug, **parts})


def open_support(cast: Cast, operator: Person) -> SupportSession:
    response = signed_in(operator).post(
        reverse("operator-support"), {"slug": cast.tenant.slug, "reason": "Ticket 4711", "minutes": "60"}
    )
    assert response["Location"] == inside(cast, "overview")
    return live_sessions(cast.tenant)[0]


def test_alice_invites_erin_and_takes_it_back() -> None:
    cast, email = make_cast(), f"erin-{uuid.uuid4().hex}@example.org"
    second = create_project(cast.tenant, "Second", actor=TESTS)
    alice = signed_in(cast.alice)
    asked = {"email": email, "role": "auditor", "reach": "some", "projects": [second.pk]}
    shown = page(alice.post(at(cast, "member-invite"), asked, follow=True))
    assert f"{email} is invited." in shown
    invitation = Invitation.objects.get(email=email)
    assert (invitation.role, list(invitation.projects.all())) == ("auditor", [second])
    shown = page(alice.post(at(cast, "invitation-withdraw", invitation_id=invitation.pk), follow=True))
    assert email not in shown


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"email": "erin"}, "Enter a valid email address."),
        ({"reach": "some"}, "Choose at least one project."),
        ({"role": "king"}, "Select a valid choice."),
        ({"email": "BOB"}, "The person is a member already."),
    ],
)
def test_what_an_invitation_lacks_is_said_at_the_form(changed: dict[str, str], told: str) -> None:
    cast = make_cast()
    if changed.get("email") == "BOB":
        changed = {"email": cast.bob.email.upper()}
    asked = {"email": "erin@example.org", "role": "auditor", "reach": "all"} | changed
    assert told in page(signed_in(cast.alice).post(at(cast, "member-invite"), asked))
    assert not Invitation.objects.filter(tenant=cast.tenant).exists()


def test_an_administrator_is_not_offered_what_only_an_owner_gives() -> None:
    cast = make_cast()
    adam = signed_in(make_person("adam", cast.tenant, Role.ADMINISTRATOR))
    assert '<option value="owner"' not in page(adam.get(at(cast, "member-invite"))).replace("\n", "")
    shown = page(adam.get(at(cast, "member", pseudonym=cast.alice.pseudonym)))
    assert at(cast, "member-remove", pseudonym=cast.alice.pseudonym) not in shown


def test_many_members_come_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.views.members._MEMBERS_SHOWN", 2)
    cast = make_cast()
    people = [make_person(f"zoe-{number}", cast.tenant, Role.DEVELOPER) for number in range(4)]
    alice, address, seen = signed_in(cast.alice), at(cast, "members"), []
    total = Membership.objects.filter(tenant=cast.tenant).count()
    for start in range(0, total, 2):
        shown = page(alice.get(address, {"after": start}))
        assert f"{total} members" in shown
        assert (f"after={start + 2}" in shown) == (start + 2 < total)
        seen += [one.email for one in (*people, cast.alice, cast.bob) if str(one.pseudonym) in shown]
    assert {one.email for one in people} <= set(seen)
    assert len(seen) == len(set(seen))
    assert f"4 of {total} members" in page(alice.get(address, {"q": "zoe-", "after": "nonsense"}))


def test_an_auditor_reads_and_is_offered_nothing() -> None:
    cast = make_cast()
    ada = signed_in(make_person("ada", cast.tenant, Role.AUDITOR))
    shown = page(ada.get(at(cast, "members")))
    assert cast.bob.email in shown
    assert at(cast, "member-invite") not in shown
    member = page(ada.get(at(cast, "member", pseudonym=cast.bob.pseudonym)))
    assert "member-change" not in member
    assert at(cast, "member-change", pseudonym=cast.bob.pseudonym) not in member


def test_bob_gets_another_role() -> None:
    cast = make_cast()
    address = at(cast, "member-change", pseudonym=cast.bob.pseudonym)
    signed_in(cast.alice).post(address, {"role": "finance", "reach": "all"})
    assert Membership.objects.get(person=cast.bob).role == "finance"


def test_the_last_owner_is_told_why_they_stay() -> None:
    cast = make_cast()
    alice, her = signed_in(cast.alice), cast.alice.pseudonym
    told = "A tenant keeps at least one owner."
    assert told in page(alice.post(at(cast, "member-remove", pseudonym=her), follow=True))
    assert told in page(alice.post(at(cast, "member-change", pseudonym=her), {"role": "auditor", "reach": "all"}))


def test_who_is_removed_hands_over_the_keys() -> None:
    cast = make_cast()
    policy = KeyPolicy(frozenset({Scope.INFERENCE}))
    key, _ = mint_api_key(maker=as_member(cast.bob, cast.tenant), project=cast.project, name="theirs", policy=policy)
    alice, his = signed_in(cast.alice), {"pseudonym": cast.bob.pseudonym}
    assert str(cast.alice.pseudonym) in page(alice.get(at(cast, "member", **his)))
    shown = page(alice.post(at(cast, "member-remove", **his), {"heir": str(cast.alice.pseudonym)}, follow=True))
    assert "bob is no member any more." in shown
    assert ApiKey.objects.get(pk=key.pk).responsible == cast.alice


def test_who_comes_from_a_group_is_shown_with_where_to_change_it() -> None:
    cast = make_cast()
    Membership.objects.filter(person=cast.bob).update(source=Membership.Source.GROUP)
    shown = page(signed_in(cast.alice).get(at(cast, "member", pseudonym=cast.bob.pseudonym)))
    assert "This person comes from a group of your identity provider." in shown
    assert at(cast, "member-remove", pseudonym=cast.bob.pseudonym) not in shown


@pytest.mark.parametrize(("role", "is_in"), [("developer", True), ("", False), ("king", False)])
def test_who_asks_is_let_in_or_not(role: str, is_in: bool) -> None:
    cast, frank = make_cast(), make_person("frank")
    asked = AccessRequest.objects.create(person=frank, tenant=cast.tenant, message="I am new here")
    alice = signed_in(cast.alice)
    assert "I am new here" in page(alice.get(at(cast, "members")))
    answer = at(cast, "access-request-answer", asked_id=asked.pk)
    assert "I am new here" not in page(alice.post(answer, {"role": role}, follow=True))
    assert Membership.objects.filter(person=frank, tenant=cast.tenant).exists() == is_in
    assert "answered this request already" in page(alice.post(answer, {"role": role}, follow=True))


def test_a_review_from_beginning_to_signature() -> None:
    cast = make_cast()
    alice = signed_in(cast.alice)
    shown = page(alice.post(at(cast, "access-review-start"), follow=True))
    review = AccessReview.objects.get(tenant=cast.tenant)
    assert "2 lines are still to be decided" in shown
    lines = {line.person: line.pk for line in review.lines.all()}
    for person, asked in ((cast.alice, {"decision": "confirm"}), (cast.bob, {"decision": "change", "role": "auditor"})):
        alice.post(at(cast, "access-review-decide", review_id=review.pk, line_id=lines[person]), asked)
    assert Membership.objects.get(person=cast.bob).role == "auditor"
    shown = page(alice.post(at(cast, "access-review-sign", review_id=review.pk), follow=True))
    assert "The access review is signed off." in shown
    copy = alice.get(at(cast, "access-review-csv", review_id=review.pk))
    assert copy["Content-Disposition"].startswith("attachment; filename=")
    assert cast.bob.email in copy.content.decode()


def test_a_line_that_cannot_go_says_why() -> None:
    cast = make_cast()
    review = start_review(by=as_member(cast.alice, cast.tenant))
    address = at(cast, "access-review-decide", review_id=review.pk, line_id=review.lines.get(person=cast.alice).pk)
    shown = page(signed_in(cast.alice).post(address, {"decision": "remove"}, follow=True))
    assert "A tenant keeps at least one owner." in shown


def test_both_sides_see_a_support_session_on_every_page_and_end_it() -> None:
    cast, operator = make_cast(), make_operator(OperatorRole.SUPPORT)
    first = open_support(cast, operator)
    for person in (cast.alice, cast.bob):
        shown = page(signed_in(person).get(at(cast, "overview")))
        assert "of the operator is looking into your organisation" in shown
        assert "Ticket 4711" in shown
    assert "Support session in A tenant." in page(signed_in(operator).get(inside(cast, "overview")))
    signed_in(cast.alice).post(at(cast, "support-end", support_id=first.pk))
    assert signed_in(operator).get(inside(cast, "overview")).status_code == 404
    second = open_support(cast, operator)
    signed_in(operator).post(reverse("operator-support-leave", kwargs={"support_id": second.pk}))
    assert signed_in(operator).get(inside(cast, "overview")).status_code == 404
    assert "of the operator is looking into" not in page(signed_in(cast.alice).get(at(cast, "overview")))


def test_an_operator_in_a_session_sees_members_and_changes_none() -> None:
    cast, operator = make_cast(), make_operator()
    session = open_support(cast, operator)
    guest = signed_in(operator)
    assert cast.bob.email in page(guest.get(inside(cast, "members")))
    his = {"pseudonym": cast.bob.pseudonym}
    assert guest.post(inside(cast, "member-change", **his), {"role": "owner", "reach": "all"}).status_code == 403
    assert guest.get(inside(cast, "member-invite")).status_code == 403
    assert guest.get(inside(cast, "support-grant", support_id=session.pk)).status_code == 403


def test_an_owner_grants_and_nobody_else() -> None:
    cast, operator = make_cast(), make_operator()
    session = open_support(cast, operator)
    address = at(cast, "support-grant", support_id=session.pk)
    asked = {"permissions": ["budget:update"], "minutes": "30"}
    adam = make_person("adam", cast.tenant, Role.ADMINISTRATOR)
    assert signed_in(adam).post(address, asked).status_code == 403
    signed_in(cast.alice).post(address, asked)
    assert SupportSession.objects.get(pk=session.pk).granted == ["budget:update"]
    assert "Change budgets" in page(signed_in(cast.alice).get(address))
    refused = signed_in(cast.alice).post(address, {"permissions": ["key:create"], "minutes": "30"})
    assert "Select a valid choice" in page(refused)


def test_support_is_for_operators_who_may() -> None:
    cast = make_cast()
    asked = {"slug": cast.tenant.slug, "reason": "why", "minutes": "60"}
    assert signed_in(cast.alice).post(reverse("operator-support"), asked).status_code == 302
    assert signed_in(make_operator(OperatorRole.BILLING)).post(reverse("operator-support"), asked).status_code == 403
    assert live_sessions(cast.tenant) == []
    operator = make_operator()
    shown = page(signed_in(operator).get(reverse("operator-support"), {"organisation": cast.tenant.slug}))
    assert cast.tenant.slug in shown
