"""Reading the audit across tenants, for those who run the platform: its own chain, any tenant's, or all of them."""

from dataclasses import dataclass

from django.db.models import Max, QuerySet

from identity.audit_trail import PAGE_SIZE, Filters, Page, filtered
from identity.errors import NotFound
from identity.models import AuditEvent, AuditVerification, Person, Tenant
from identity.name_order import by_name
from identity.operators import Operator
from identity.permissions import OperatorPermission

# Of all chains together, so many of the newest links are searched: what is asked for may be rare, and a page is quick.
NEWEST = 200_000
PLATFORM = "platform:"  # no slug: it has a colon
TENANTS_MAX = 500  # a list to choose from; a slug in the address works for every tenant


@dataclass(frozen=True, slots=True)
class Chain:
    """Which chain: a tenant's, or, `tenant` None, the platform's own."""

    tenant: Tenant | None


def chain_for(by: Operator, name: str) -> Chain | None:
    """The chain of a tenant by its slug, or the platform's ("platform:"); None for "": all. Raises `Forbidden`,
    `NotFound`.
    """
    by.require(OperatorPermission.AUDIT_READ)
    if not name:
        return None
    if name == PLATFORM:
        return Chain(None)
    tenant = Tenant.objects.filter(slug=name).first()
    if tenant is None:
        raise NotFound("tenant")
    return Chain(tenant)


def events_across(
    by: Operator, chain: Chain | None, filters: Filters, *, before: int | None = None, size: int = PAGE_SIZE
) -> Page:
    """Events with their `tenant` and `known_as`, newest first; `next` is an id, not a sequence. Raises `Forbidden`."""
    by.require(OperatorPermission.AUDIT_READ)
    events = filtered(_links_of(chain), filters)
    if before is not None:
        events = events.filter(pk__lt=before)
    # Within a chain ids rise with the sequence: links are written under its lock.
    order = "-pk" if chain is None else "-sequence"
    rows = list(events.select_related("tenant").prefetch_related("known_as").order_by(order)[: size + 1])
    page = rows[:size]
    return Page(page, page[-1].pk if len(rows) > size else None)


def actor_named(text: str) -> str:
    """Whom the chain means by an e-mail address, a key's beginning, a pseudonym or a component's name."""
    text = text.strip()
    if "@" in text:
        found = Person.objects.filter(email=text.lower()).values_list("pseudonym", flat=True).first()
        return str(found) if found else text
    return text.removeprefix("bfr_").removeprefix("bfo_").partition("_")[0] if text.startswith("bf") else text


def tenants_with_chains(by: Operator) -> QuerySet[Tenant]:
    """Whose chains there are to choose, by name. Raises `Forbidden`."""
    by.require(OperatorPermission.AUDIT_READ)
    return Tenant.objects.order_by(by_name(), "pk")[:TENANTS_MAX]


def verification_of_chain(chain: Chain) -> AuditVerification | None:
    """What the last verification of a chain found."""
    return AuditVerification.objects.filter(tenant=chain.tenant).first()


def _links_of(chain: Chain | None) -> QuerySet[AuditEvent]:
    if chain is not None:
        return AuditEvent.objects.filter(tenant=chain.tenant)
    last = AuditEvent.objects.aggregate(last=Max("pk"))["last"] or 0
    return AuditEvent.objects.filter(pk__gt=last - NEWEST)
