"""The page of those who run the platform."""

from datetime import timedelta

import pytest
from django.urls import reverse

from identity.models import AuditEvent, OperatorAppointment, OperatorRole, Person, SupportSession
from identity.support_sessions import is_live, open_session
from tests.support.console import page, signed_in
from tests.support.ledger import unique
from tests.support.people import make_cast, make_operator

pytestmark = pytest.mark.usefixtures("database")
ADDRESS = reverse("operator-people")


def roles_of(person: Person) -> set[str]:
    return set(OperatorAppointment.objects.filter(person=person).values_list("role", flat=True))


def test_somebody_is_appointed_by_address_and_dismissed_role_by_role() -> None:
    chief = make_operator()
    client, email = signed_in(chief), f"{unique('otto').lower()}@example.org"
    for role in ("support", "billing"):
        assert client.post(ADDRESS, {"email": email.upper(), "name": "Otto", "role": role}).status_code == 302
    otto = Person.objects.get(email=email)
    assert roles_of(otto) == {"support", "billing"}
    assert email in page(client.get(ADDRESS))
    client.post(reverse("operator-dismiss", kwargs={"pseudonym": otto.pseudonym, "role": "support"}))
    assert roles_of(otto) == {"billing"}
    told = AuditEvent.objects.filter(tenant=None, target=str(otto.pseudonym), actor=str(chief.pseudonym))
    actions = told.order_by("sequence").values_list("action", flat=True)
    assert list(actions) == ["person.created", "operator.appointed", "operator.appointed", "operator.dismissed"]


def test_a_member_is_not_appointed_and_the_last_who_appoints_stays() -> None:
    client, cast = signed_in(make_operator()), make_cast()
    refused = page(client.post(ADDRESS, {"email": cast.bob.email, "name": "", "role": "support"}))
    assert "A member of an organisation cannot run the platform with the same account." in refused
    assert roles_of(cast.bob) == set()
    OperatorAppointment.objects.filter(role="platform").delete()
    last = make_operator()
    taken = reverse("operator-dismiss", kwargs={"pseudonym": last.pseudonym, "role": "platform"})
    assert "keeps at least one platform operator" in page(signed_in(last).post(taken, follow=True))
    assert roles_of(last) == {"platform"}


def test_anybodys_support_session_is_seen_and_ended_by_who_appoints() -> None:
    cast, helper, chief = make_cast(), make_operator(OperatorRole.SUPPORT), make_operator()
    session = open_session(operator=helper, slug=cast.tenant.slug, reason=unique("Ticket"), duration=timedelta(hours=1))
    stop = reverse("operator-support-stop", kwargs={"support_id": session.pk})
    assert session.reason in page(signed_in(chief).get(ADDRESS))
    assert signed_in(helper).post(stop).status_code == 403
    assert is_live(SupportSession.objects.get(pk=session.pk), session.opened_at)
    shown = page(signed_in(chief).post(stop, follow=True))
    assert shown.index("Support sessions that are over") < shown.index(session.reason)
    for tenant in (cast.tenant, None):
        event = AuditEvent.objects.filter(tenant=tenant, action="support_session.ended").latest("sequence")
        assert event.actor == str(chief.pseudonym)
    assert signed_in(helper).get(f"/operator/t/{cast.tenant.slug}/").status_code == 404
