"""Domains of e-mail addresses that the operator confirmed to be a tenant's."""

import re

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from identity import audit
from identity.errors import Conflict, Invalid
from identity.models import EmailDomain, Person, Tenant

_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")


def confirm_domain(tenant: Tenant, domain: str, *, actor: audit.Actor, by: Person | None = None) -> EmailDomain:
    """Remember that addresses of the domain are the tenant's: its own provider may vouch for them.

    Whoever calls it is the operator's. Raises `Invalid`, or `Conflict` where another tenant has the domain.
    """
    domain = domain.strip().lower()
    if not _DOMAIN.fullmatch(domain):
        raise Invalid("domain", _("must be a domain such as example.org"))
    with transaction.atomic():
        found, made = EmailDomain.objects.get_or_create(domain=domain, defaults={"tenant": tenant, "confirmed_by": by})
        if found.tenant_id != tenant.pk:
            raise Conflict(_("another organisation has the domain"))
        if made:
            audit.record(
                tenant=tenant, actor=actor, action="email_domain.confirmed", target=found, detail={"domain": domain}
            )
    return found


def release_domain(domain: EmailDomain, *, actor: audit.Actor) -> None:
    """Take the confirmation back. Who was linked stays linked."""
    with transaction.atomic():
        audit.record(
            tenant=domain.tenant,
            actor=actor,
            action="email_domain.released",
            target=domain,
            detail={"domain": domain.domain},
        )
        domain.delete()


def domains_of(tenant: Tenant) -> QuerySet[EmailDomain]:
    """The tenant's confirmed domains, by name."""
    return EmailDomain.objects.filter(tenant=tenant).order_by("domain")
