"""Unlinks a person from their account at a provider, for when that was made anew there: it has a new subject then,
which `linked_identities` refuses, as the address may have gone to somebody else. The next sign-in with a verified
address links again.

A tenant's administrators vouch for that at their own provider only; at one that other tenants share the operator does,
by `manage.py unlink_person`.
"""

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller
from identity.errors import Conflict, NotFound
from identity.members import projects_of, require_may_give
from identity.models import IdentityProvider, LinkedIdentity, Membership, Person, ProviderVersion, Role, Tenant
from identity.permissions import Permission
from identity.providers import active_version, provider_of
from identity.sign_ins import end_all


def has_own_account(tenant: Tenant, person: Person) -> bool:
    """Whether the person is linked to an account at the tenant's own provider."""
    provider = provider_of(tenant)
    return provider is not None and LinkedIdentity.objects.filter(person=person, issuer=_issuer_of(provider)).exists()


def unlink_member(*, by: Caller, person: Person, now: datetime) -> None:
    """Unlink a member from their account at the tenant's own provider, and end the sessions that it vouched for.

    Raises `Forbidden` (only an owner touches owners), `NotFound` (no member, no linked account), `Conflict` (the
    provider is one that other tenants use too).
    """
    by.require(Permission.MEMBER_UPDATE)
    with transaction.atomic():
        membership = Membership.objects.select_for_update().filter(tenant=by.tenant, person=person).first()
        if membership is None:
            raise NotFound("member")
        require_may_give(by, Role(membership.role), projects_of(membership))
        provider = provider_of(by.tenant)
        if provider is None:
            raise NotFound("linked account")
        if _opens_others(_issuer_of(provider), by.tenant):
            raise Conflict(_("Other organisations use this identity provider too: ask the operator."))
        _unlink(person, provider, actor=by.actor, now=now)


def unlink_person(person: Person, provider: IdentityProvider, *, actor: audit.Actor, now: datetime) -> None:
    """The same at any provider, as the operator. Raises `NotFound`."""
    with transaction.atomic():
        _unlink(person, provider, actor=actor, now=now)


def _unlink(person: Person, provider: IdentityProvider, *, actor: audit.Actor, now: datetime) -> None:
    issuer = _issuer_of(provider)
    gone, _rows = LinkedIdentity.objects.filter(person=person, issuer=issuer).delete()
    if not gone:
        raise NotFound("linked account")
    end_all(person, reason="unlinked", now=now, through=provider)
    detail = {"provider": provider.handle, "issuer": issuer}
    audit.record(tenant=provider.tenant, actor=actor, action="person.unlinked", target=person, detail=detail)


def _issuer_of(provider: IdentityProvider) -> str:
    """Empty where the provider is not in use: nobody is linked to that."""
    version = active_version(provider)
    return version.issuer if version else ""


def _opens_others(issuer: str, tenant: Tenant) -> bool:
    """Whether a link to the issuer opens, or once opened, more than the tenant: it may be another's own provider."""
    return ProviderVersion.objects.filter(issuer=issuer).exclude(provider__tenant=tenant).exists()
