"""Another legal entity pays: asked, accepted, named on invoices, ended; its people see these and nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest
from django.utils import timezone

from billing.closing.blocks import facts_of
from billing.closing.contents import Head, contents_of
from billing.invoices.credit_notes import credit_invoice
from billing.invoices.document.cii import xml_of
from billing.invoices.document.contents import InvoiceContents, from_json
from billing.invoices.legal_parties import PartyWish
from billing.invoices.payers import (
    accept_to_pay,
    add_colleague,
    end_payer,
    invoice_of_payer,
    invoices_of_payer,
    join_payers,
    name_payer,
    payer_of,
    payers_for,
    remove_colleague,
    stop_paying,
)
from billing.models import DraftLine, Payer, PayerPerson
from identity.access import caller_for_person
from identity.audit import Actor
from identity.erasure import erase_person
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.invitations import invite
from identity.models import (
    AuditEvent,
    IdentityProvider,
    Invitation,
    Notice,
    NoticeDelivery,
    Person,
    Role,
    Tenant,
)
from tests.support.closings import issued, last_month, selling, with_buyer
from tests.support.history import history_of
from tests.support.invoice_contents import credit_note, statement
from tests.support.invoices import kept
from tests.support.ledger import house_of
from tests.support.operators import RUNS
from tests.support.payers import GROUP, asked, paying
from tests.support.people import Cast, as_member, make_cast, make_person

RAM = "{urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100}"
pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def paul() -> Person:
    """Somebody of the payer's, a member nowhere."""
    return make_person("paul")


def contents(tenant: Tenant) -> InvoiceContents:
    """What the next invoice would say."""
    month = last_month()
    line = DraftLine(
        position=1, covers_month=month, kind="entry", entry_kind="fee", exact_nano_eur=10**9, net_cents=100
    )
    head = Head(number="F1", series="F", issued_on=timezone.now().date(), month=month, first=month, last=month)
    return contents_of(facts_of([tenant]).house, tenant, head, [line])


def test_who_was_asked_joins_by_signing_in_with_the_address(cast: Cast, paul: Person) -> None:
    name_payer(by=as_member(cast.alice, cast.tenant), email=f" {paul.email.upper()} ")
    through = IdentityProvider(tenant=None, audience=IdentityProvider.Audience.SHARED)
    now = timezone.now()
    for address, provider in (("", through), (paul.email, IdentityProvider(tenant=cast.tenant))):
        join_payers(person=paul, verified_email=address, through=provider, now=now)
        assert not payers_for(paul).exists()
    join_payers(person=paul, verified_email=paul.email.upper(), through=through, now=now)
    assert [payer.tenant for payer in payers_for(paul)] == [cast.tenant]
    with pytest.raises(NotFound):
        caller_for_person(paul, cast.tenant.slug)


def test_only_an_owner_names_a_payer_and_only_one(cast: Cast, paul: Person) -> None:
    for role in (Role.ADMINISTRATOR, Role.FINANCE):
        with pytest.raises(Forbidden):
            name_payer(by=as_member(make_person(role.value, cast.tenant, role), cast.tenant), email=paul.email)
    alice = as_member(cast.alice, cast.tenant)
    with pytest.raises(Conflict, match="member"):
        name_payer(by=alice, email=cast.bob.email)
    name_payer(by=alice, email=paul.email)
    with pytest.raises(Conflict, match="already"):
        name_payer(by=alice, email="other@example.org")


def test_invoices_are_made_out_to_who_accepted_and_vat_follows(cast: Cast, paul: Person) -> None:
    with selling():
        with_buyer(cast.tenant)
        payer = asked(cast.tenant, cast.alice, paul)
        assert contents(cast.tenant).payer is None
        german = PartyWish(**{
            **{name: getattr(GROUP, name) for name in ("address", "postcode", "city")},
            "legal_name": "Kessler GmbH", "country": "DE", "vat_number": "DE129274202",
        })  # fmt: skip
        accept_to_pay(person=paul, payer_id=payer.pk, wish=german)
        made = contents(cast.tenant)
        assert (made.billed_to.name, made.buyer.name) == ("Kessler GmbH", "Atelier du Nord SARL")
        assert (made.vat[0].category, made.tax_cents) == ("AE", 0)
        end_payer(by=as_member(cast.alice, cast.tenant))
        assert (contents(cast.tenant).payer, contents(cast.tenant).tax_cents) == (None, 20)


def test_what_an_invoice_needs_is_asked_of_the_payer(cast: Cast, paul: Person) -> None:
    payer = asked(cast.tenant, cast.alice, paul)
    with pytest.raises(Invalid, match="needed"):
        accept_to_pay(person=paul, payer_id=payer.pk, wish=PartyWish(legal_name="Only a name"))
    assert not Payer.objects.get(pk=payer.pk).accepted_at


def test_I6_its_people_see_what_was_made_out_to_it_and_nothing_else(cast: Cast, paul: Person) -> None:
    before = kept(cast.tenant)
    paying(cast.tenant, cast.alice, paul)
    during, internal, elsewhere = kept(cast.tenant), kept(cast.tenant, statement()), kept(cast.strangers)
    end_payer(by=as_member(cast.alice, cast.tenant))
    after = kept(cast.tenant)
    assert list(invoices_of_payer(paul)) == [during]
    for other in (before, internal, elsewhere, after):
        with pytest.raises(NotFound):
            invoice_of_payer(paul, other.public_id)
    for stranger in (cast.alice, cast.charlie):
        assert not invoices_of_payer(stranger).exists()


def test_I6_a_credit_note_is_seen_by_who_was_billed_whoever_pays_by_now(cast: Cast, paul: Person) -> None:
    of_before = kept(cast.tenant)
    paying(cast.tenant, cast.alice, paul)
    theirs = kept(cast.tenant)
    not_theirs = kept(cast.tenant, credit_note(), corrects=of_before)
    end_payer(by=as_member(cast.alice, cast.tenant))
    note = kept(cast.tenant, credit_note(), corrects=theirs)
    assert list(invoices_of_payer(paul)) == [note, theirs]
    with pytest.raises(NotFound):
        invoice_of_payer(paul, not_theirs.public_id)


def test_a_month_that_is_closed_is_made_out_to_who_pays(paul: Person, owner_database_url: str) -> None:
    """From the ledger to the XML; and what is corrected later stays with whom it was made out to."""
    cast = make_cast()
    house = house_of(cast.tenant)
    with_buyer(cast.tenant)
    month = last_month()
    with history_of(house, owner_database_url) as history:
        history.record(house.key().row, datetime(month.year, month.month, 15, tzinfo=UTC), cost=10**10)
    paying(cast.tenant, cast.alice, paul)
    with selling():
        invoice = issued(cast.tenant, month)
        end_payer(by=as_member(cast.alice, cast.tenant))
        petra = make_person("petra")
        paying(cast.tenant, cast.alice, petra)
        note = credit_invoice(by=RUNS, invoice=invoice, reason="A wrong price")
    xml = ET.fromstring(xml_of(from_json(invoice.contents)))
    names = [xml.findtext(f".//{RAM}{party}/{RAM}Name") for party in ("BuyerTradeParty", "ShipToTradeParty")]
    assert names == ["Groupe Écluse Holding", "Atelier du Nord SARL"]
    assert from_json(note.contents).billed_to.name == "Groupe Écluse Holding"
    assert list(invoices_of_payer(paul)) == [note, invoice]
    assert not invoices_of_payer(petra).exists()


def test_who_declines_sees_nothing_and_the_organisation_is_told(cast: Cast, paul: Person) -> None:
    payer = asked(cast.tenant, cast.alice, paul)
    stop_paying(person=paul, payer_id=payer.pk)
    assert payer_of(cast.tenant) is None
    assert not payers_for(paul).exists()
    assert Notice.objects.filter(tenant=cast.tenant, kind="payer.ended").exists()
    name_payer(by=as_member(cast.alice, cast.tenant), email="other@example.org")


def test_a_payer_has_people_of_its_own(cast: Cast, paul: Person) -> None:
    payer = paying(cast.tenant, cast.alice, paul)
    add_colleague(person=paul, payer_id=payer.pk, email="colleague@example.org")
    with pytest.raises(Conflict, match="already"):
        add_colleague(person=paul, payer_id=payer.pk, email="colleague@example.org")
    remove_colleague(person=paul, payer_id=payer.pk, email="colleague@example.org")
    assert PayerPerson.objects.filter(payer=payer, ended_at=None).count() == 1
    with pytest.raises(Conflict, match="somebody else"):
        remove_colleague(person=paul, payer_id=payer.pk, email=paul.email)
    verbs: list[Callable[[], object]] = [
        lambda: add_colleague(person=cast.charlie, payer_id=payer.pk, email="x@example.org"),
        lambda: stop_paying(person=cast.charlie, payer_id=payer.pk),
        lambda: accept_to_pay(person=cast.charlie, payer_id=payer.pk, wish=GROUP),
    ]
    for verb in verbs:
        with pytest.raises(NotFound):
            verb()


def test_all_of_it_is_in_the_organisations_audit(cast: Cast, paul: Person) -> None:
    paying(cast.tenant, cast.alice, paul)
    end_payer(by=as_member(cast.alice, cast.tenant))
    actions = AuditEvent.objects.filter(tenant=cast.tenant, action__startswith="payer.").order_by("pk")
    assert list(actions.values_list("action", flat=True)) == ["payer.named", "payer.accepted", "payer.ended"]


def test_S7_who_was_asked_and_never_joined_is_erased_with_their_address(cast: Cast, paul: Person) -> None:
    """So is who was invited by it, or written to."""
    invited, owner = make_person("other"), as_member(cast.alice, cast.tenant)
    name_payer(by=owner, email=paul.email)
    invite(by=owner, email=invited.email, role=Role.DEVELOPER)
    notice = Notice.objects.create(tenant=cast.tenant, kind="payer.asked")
    NoticeDelivery.objects.create(notice=notice, channel="email", address=paul.email, next_try_at=timezone.now())
    assert PayerPerson.objects.filter(email=paul.email, person=None).exists()
    for person in (paul, invited):
        email = person.email
        erase_person(person, actor=Actor.system("tests"))
        assert not PayerPerson.objects.filter(email=email).exists()
        assert not Invitation.objects.filter(email=email).exists()
        assert not NoticeDelivery.objects.filter(address=email).exists()
