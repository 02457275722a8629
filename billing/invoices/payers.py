"""Another legal entity that pays for a tenant: an owner names it, and it accepts by saying who it is in law.

Its people are no members. To every page and operation of the tenant they are strangers; all that they see is what was
made out to the payer (`invoices_of_payer`), also after it ended. They are asked by an address: whoever an identity
provider vouches for as its owner is who was meant, as with invitations (docs/decisions/0016).
"""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from billing.clock import database_now
from billing.invoices.files import with_files
from billing.invoices.issued import with_payments
from billing.invoices.legal_parties import PartyWish, clean_party, missing_of
from billing.models import Invoice, LegalParty, Payer, PayerPerson
from identity import audit
from identity.access import Caller
from identity.errors import Conflict, Invalid, NotFound
from identity.members import name_of
from identity.models import IdentityProvider, Membership, Person, Tenant
from identity.notices import notify, notify_outsider
from identity.people import clean_email
from identity.permissions import Permission
from identity.service import service

# A payer's accountants; a mistake must not write to half the world.
PEOPLE_MAX = 50


def payer_of(tenant: Tenant) -> Payer | None:
    """Who pays for it, or is asked to; None: the tenant itself."""
    return Payer.objects.select_related("tenant").filter(tenant=tenant, ended_at=None).first()


def paying_parties(tenant_ids: list[int]) -> dict[int, LegalParty]:
    """Who pays in law for those of the tenants that another entity pays for, which has accepted."""
    accepted = Payer.objects.filter(tenant__in=tenant_ids, ended_at=None, accepted_at__isnull=False)
    return {payer.tenant_id: payer.as_party() for payer in accepted.select_related("tenant")}


def name_payer(*, by: Caller, email: str) -> Payer:
    """Ask the owner of an address to pay for the tenant. Raises `Forbidden`, `Invalid`, `Conflict`: there is one."""
    by.require(Permission.PAYER_UPDATE)
    address = clean_email(email)
    if Membership.objects.filter(tenant=by.tenant, person__email=address).exists():
        raise Conflict(_("the person is a member: another legal entity is asked by an address of its own"))
    with transaction.atomic():
        Tenant.objects.select_for_update(no_key=True).get(pk=by.tenant.pk)
        if payer_of(by.tenant) is not None:
            raise Conflict(_("there is a payer already: end it first"))
        now = database_now()
        payer = Payer.objects.create(tenant=by.tenant, named_at=now)
        _ask(payer, address, name_of(by), now)
        target = audit.Target("payer", str(payer.pk), address)
        audit.record(tenant=by.tenant, actor=by.actor, action="payer.named", target=target)
    return payer


def end_payer(*, by: Caller) -> None:
    """Let the tenant pay for itself from the next invoice on. Raises `Forbidden`, `NotFound`."""
    by.require(Permission.PAYER_UPDATE)
    with transaction.atomic():
        Tenant.objects.select_for_update(no_key=True).get(pk=by.tenant.pk)
        payer = payer_of(by.tenant)
        if payer is None:
            raise NotFound("payer")
        _end(payer, by.actor)


def join_payers(*, person: Person, verified_email: str, through: IdentityProvider, now: datetime) -> None:
    """Let the person, who has just signed in, be of every payer that asked the address. As `accept_invitations`: who
    runs the platform is nobody's, and a tenant's own provider vouches for nobody elsewhere.
    """
    email = verified_email.strip().lower()
    if not email or person.is_operator or through.tenant_id is not None:
        return
    if through.audience == IdentityProvider.Audience.OPERATORS:
        return
    asked = PayerPerson.objects.filter(email=email, person=None, ended_at=None, payer__ended_at=None)
    asked.update(person=person, joined_at=now)


def payers_for(person: Person) -> QuerySet[Payer]:
    """Those whose people the person is one of, also those that ended after they had accepted, by the tenant's name."""
    if not person.is_active or person.is_operator or person.only_tenant_id is not None:
        return Payer.objects.none()
    mine = PayerPerson.objects.filter(payer=OuterRef("pk"), person=person, ended_at=None)
    alive = Q(ended_at=None) | Q(accepted_at__isnull=False)
    return Payer.objects.filter(Exists(mine), alive).select_related("tenant").order_by("tenant__name", "pk")


def payer_for(person: Person, payer_id: int) -> Payer:
    """One that has not ended. Raises `NotFound`."""
    found = payers_for(person).filter(pk=payer_id, ended_at=None).first()
    if found is None:
        raise NotFound("payer")
    return found


def accept_to_pay(*, person: Person, payer_id: int, wish: PartyWish) -> Payer:
    """Say who pays in law; the first time that is to accept. Raises `NotFound`, `Invalid`: what an invoice needs."""
    values = clean_party(wish)
    if missing := missing_of(LegalParty(**values)):
        raise Invalid(missing[0], _("is needed for invoices"))
    with transaction.atomic():
        payer = _locked(person, payer_id)
        is_new = payer.accepted_at is None
        before = {name: getattr(payer, name) for name in values if getattr(payer, name) != values[name]}
        if not before and not is_new:
            return payer
        for name, value in values.items():
            setattr(payer, name, value)
        payer.accepted_at = payer.accepted_at or database_now()
        payer.save()
        action = "payer.accepted" if is_new else "payer.changed"
        _record(payer, person, action, {name: values[name] for name in before})
        if is_new:
            notify(payer.tenant, "payer.accepted", context={"name": payer.legal_name})
    return payer


def stop_paying(*, person: Person, payer_id: int) -> None:
    """Decline, or pay no more from the next invoice on. Raises `NotFound`."""
    with transaction.atomic():
        _end(_locked(person, payer_id), audit.Actor.person(person))


def add_colleague(*, person: Person, payer_id: int, email: str) -> None:
    """Let somebody else of the payer's see its invoices. Raises `NotFound`, `Invalid`, `Conflict`."""
    address = clean_email(email)
    with transaction.atomic():
        payer = _locked(person, payer_id)
        people = PayerPerson.objects.filter(payer=payer, ended_at=None)
        if people.filter(email=address).exists():
            raise Conflict(_("this address is there already"))
        if people.count() >= PEOPLE_MAX:
            raise Conflict(_("a payer has at most %(count)s people") % {"count": PEOPLE_MAX})
        _ask(payer, address, str(person), database_now())
        _record(payer, person, "payer.person_added", {"email": address})


def remove_colleague(*, person: Person, payer_id: int, email: str) -> None:
    """Let somebody of the payer's see nothing any more. Raises `NotFound`, `Conflict`: it is oneself."""
    with transaction.atomic():
        payer = _locked(person, payer_id)
        found = PayerPerson.objects.filter(payer=payer, email=email, ended_at=None)
        if found.filter(person=person).exists():
            raise Conflict(_("somebody else of the payer's has to remove you"))
        if not found.update(ended_at=database_now()):
            raise NotFound("person")
        _record(payer, person, "payer.person_removed", {"email": email})


def people_of(payer: Payer) -> QuerySet[PayerPerson]:
    """Whom it asked and who joined, by address."""
    return PayerPerson.objects.filter(payer=payer, ended_at=None).order_by("email")


def invoices_of_payer(person: Person) -> QuerySet[Invoice]:
    """What was made out to the payers whose people the person is one of, newest first; nothing else of any tenant.

    A credit note was made out to whom its invoice was, whoever pays by now.
    """
    paying = (
        payers_for(person)
        .filter(tenant=OuterRef("tenant"), accepted_at__lte=OuterRef("made_out_at"))
        .filter(Q(ended_at=None) | Q(ended_at__gt=OuterRef("made_out_at")))
    )
    dated = Invoice.objects.annotate(made_out_at=Coalesce("corrects__issued_at", "issued_at"))
    billed = dated.filter(Exists(paying.order_by())).exclude(kind=Invoice.Kind.STATEMENT)
    return with_files(with_payments(billed)).select_related("tenant").order_by("-issued_at", "-pk")


def invoice_of_payer(person: Person, public_id: UUID) -> Invoice:
    """One of these. Raises `NotFound`."""
    found = invoices_of_payer(person).filter(public_id=public_id).first()
    if found is None:
        raise NotFound("invoice")
    return found


def _ask(payer: Payer, email: str, by: str, now: datetime) -> None:
    known = Person.objects.filter(email=email).first()
    PayerPerson.objects.create(payer=payer, email=email, invited_at=now)
    notify_outsider(
        payer.tenant,
        "payer.asked",
        email=email,
        language=known.language if known else service().default_language,
        context={"by": by, "organisation": payer.tenant.name},
    )


def _locked(person: Person, payer_id: int) -> Payer:
    """The tenant first, as every change of a tenant's money does."""
    payer = payer_for(person, payer_id)
    Tenant.objects.select_for_update(no_key=True).get(pk=payer.tenant_id)
    return payer_for(person, payer_id)


def _end(payer: Payer, actor: audit.Actor) -> None:
    Payer.objects.filter(pk=payer.pk).update(ended_at=database_now())
    name = payer.legal_name or "–"
    target = audit.Target("payer", str(payer.pk), name)
    audit.record(tenant=payer.tenant, actor=actor, action="payer.ended", target=target)
    notify(payer.tenant, "payer.ended", context={"name": name})


def _record(payer: Payer, person: Person, action: str, detail: dict[str, str]) -> None:
    target = audit.Target("payer", str(payer.pk), payer.legal_name)
    audit.record(tenant=payer.tenant, actor=audit.Actor.person(person), action=action, target=target, detail=detail)
