"""A payer in the console: an owner asks, somebody of the payer's accepts, and sees the invoices only."""

from dataclasses import replace
from typing import Any

import pytest

from identity.models import AuditEvent, Person
from tests.support.console import page, signed_in
from tests.support.invoices import filed
from tests.support.payers import GROUP, asked, paying
from tests.support.people import Cast, make_cast, make_person

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def paul() -> Person:
    return make_person("paul")


def test_an_owner_asks_and_ends(cast: Cast, paul: Person, settings: Any) -> None:
    settings.MAIL_IS_SET_UP = True
    alice, address = signed_in(cast.alice), f"/t/{cast.tenant.slug}/billing/payer"
    shown = page(alice.get(address))
    assert "Ask another legal entity" in shown
    assert "It gets an e-mail" in shown
    assert "is a member" in page(alice.post(address, {"email": cast.bob.email}))
    assert alice.post(address, {"email": paul.email}).status_code == 302
    assert "It has not accepted yet" in page(alice.get(address))
    assert alice.post(f"{address}/end").status_code == 302
    assert "Ask another legal entity" in page(alice.get(address))


def test_where_no_mail_is_sent_the_owner_is_told_to_tell_the_payer(cast: Cast, paul: Person, settings: Any) -> None:
    settings.MAIL_IS_SET_UP = False
    alice, address = signed_in(cast.alice), f"/t/{cast.tenant.slug}/billing/payer"
    assert "It gets an e-mail" not in page(alice.get(address))
    shown = page(alice.post(address, {"email": paul.email}, follow=True))
    assert "The address may accept." in shown
    assert f"Tell the person to sign in at {settings.PUBLIC_URL}/payer." in shown


def test_who_was_asked_accepts_and_comes_to_the_invoices(cast: Cast, paul: Person) -> None:
    payer, client = asked(cast.tenant, cast.alice, paul), signed_in(paul)
    assert client.get("/")["Location"] == "/payer"
    assert "asks you to pay its invoices" in page(client.get("/payer"))
    address = f"/payer/{payer.pk}"
    given = {name: getattr(GROUP, name) for name in GROUP.__dataclass_fields__ if name != "language"}
    assert client.post(address, given).status_code == 302
    assert "Groupe Écluse Holding pays for" in page(client.get("/payer"))
    made = filed(cast.tenant)
    assert made.number in page(client.get("/payer"))
    assert "€1.1111103" in page(client.get(f"/payer/invoices/{made.public_id}"))
    assert client.get(f"/payer/invoices/{made.public_id}/pdf")["Content-Type"] == "application/pdf"
    assert client.get(f"/payer/invoices/{made.public_id}/exe").status_code == 404


def test_what_was_said_before_stays_in_the_form(cast: Cast, paul: Person) -> None:
    payer = paying(cast.tenant, cast.alice, paul, replace(GROUP, contract_reference="C-2027-014"))
    shown = page(signed_in(paul).get(f"/payer/{payer.pk}"))
    assert 'value="C-2027-014"' in shown
    assert '<option value="fr" selected>' in shown


def test_I6_a_payers_person_is_a_stranger_to_all_else(cast: Cast, paul: Person) -> None:
    paying(cast.tenant, cast.alice, paul)
    theirs, client = filed(cast.strangers), signed_in(paul)
    for path in ("", "usage", "keys", "billing", "billing/invoices", "members", "audit"):
        assert client.get(f"/t/{cast.tenant.slug}/{path}").status_code == 404, path
    assert client.get(f"/payer/invoices/{theirs.public_id}").status_code == 404
    for other in (cast.alice, cast.charlie):
        assert signed_in(other).get("/payer").status_code == 404


def test_a_member_who_pays_for_others_finds_their_invoices_in_the_account_menu(cast: Cast) -> None:
    """Charlie is a member elsewhere: `/` leads there, so the way to what he pays has to be on every page."""
    client, address = signed_in(cast.charlie), f"/t/{cast.strangers.slug}/"
    assert 'href="/payer"' not in page(client.get(address))
    paying(cast.tenant, cast.alice, cast.charlie)
    for path in (address, "/account", "/payer"):
        assert 'href="/payer"' in page(client.get(path)), path
    assert 'href="/payer"' not in page(signed_in(cast.bob).get(f"/t/{cast.tenant.slug}/"))


def test_who_takes_an_invoice_away_is_in_the_organisations_audit(cast: Cast, paul: Person) -> None:
    paying(cast.tenant, cast.alice, paul)
    made = filed(cast.tenant)
    signed_in(paul).get(f"/payer/invoices/{made.public_id}/pdf")
    alice = signed_in(cast.alice)
    alice.get(f"/t/{cast.tenant.slug}/billing/invoices/{made.public_id}/xml")
    alice.get(f"/t/{cast.tenant.slug}/billing/invoices/{made.public_id}/csv")
    events = AuditEvent.objects.filter(tenant=cast.tenant, action="invoice.downloaded").order_by("pk")
    assert [(event.detail["file"], event.target) for event in events] == [
        (ending, made.number) for ending in ("pdf", "xml", "csv")
    ]
    assert {event.detail["sha256"] for event in events} == {made.sha256}
    assert "downloaded" in page(alice.get(f"/t/{cast.tenant.slug}/audit"))
