"""The life of an identity provider's settings: prepared, tried, in use, switched off.

Who changes a door may shut everybody out, so that settings take effect only after the person who wrote them has signed
in with them, and an owner put them to use. What the operator sets at the machine itself (`set_provider`) needs
neither.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from identity import audit, secret_box
from identity.access import Caller
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.members import name_of
from identity.models import IdentityProvider, Person, ProviderVersion, Role, Tenant
from identity.notices import notify
from identity.permissions import Permission
from identity.sign_ins import end_all_through
from identity.wording import clean_name

_STATE = ProviderVersion.State
IN_PREPARATION = (_STATE.DRAFT, _STATE.TRIED)
REQUIRED_MAX = 10  # classes or methods; providers have a handful
_CLAIM = re.compile(r"[!-~]{1,64}")


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """What has to be known of a provider. An empty `client_secret` keeps the one in use.

    groups_claim: the claim, or the path of a member, that lists a person's groups
    required_acr: one of these classes; required_amr: all of these methods (RFC 8176); empty: any
    """

    issuer: str
    client_id: str
    client_secret: str = ""
    groups_claim: str = "groups"
    required_acr: tuple[str, ...] = ()
    required_amr: tuple[str, ...] = ()

    def cleaned(self) -> "ProviderSettings":
        """The same in its one form. Raises `Invalid`."""
        _require_issuer(self.issuer.strip())
        if not _CLAIM.fullmatch(self.groups_claim.strip()):
            raise Invalid("groups_claim", _("must be the name of a claim, such as groups"))
        return replace(
            self,
            issuer=self.issuer.strip(),
            client_id=clean_name(self.client_id, "client_id", 255),
            client_secret=self.client_secret.strip(),
            groups_claim=self.groups_claim.strip(),
            required_acr=_words("required_acr", self.required_acr, 200),
            required_amr=_words("required_amr", self.required_amr, 64),
        )

    def described(self) -> dict[str, Any]:
        """For the audit chain: all but the secret."""
        return {
            "issuer": self.issuer,
            "client_id": self.client_id,
            "groups_claim": self.groups_claim,
            "required_acr": list(self.required_acr),
            "required_amr": list(self.required_amr),
            "secret_changed": bool(self.client_secret),
        }


def prepare_version(*, by: Caller, settings: ProviderSettings) -> ProviderVersion:
    """Settings of the tenant's own provider to be tried; they replace others that were in preparation.

    Raises `Forbidden`, `Invalid`.
    """
    by.require(Permission.PROVIDER_UPDATE)
    settings = settings.cleaned()
    with transaction.atomic():
        provider = _locked_provider(IdentityProvider.Audience.TENANT, by.tenant, by.tenant.name)
        version = _new_version(provider, settings, by.person)
        detail = settings.described() | {"version": version.pk}
        audit.record(
            tenant=by.tenant, actor=by.actor, action="identity_provider.prepared", target=provider, detail=detail
        )
    return version


def mark_tried(version: ProviderVersion, *, person: Person, now: datetime) -> None:
    """Remember that the person who prepared the settings has signed in with them. Those that a key prepared are
    nobody's: who tries them first makes them their own.

    Raises `Conflict` for anybody else, and for settings that are not in preparation any more.
    """
    if not may_try(version, person):
        raise Conflict(_("only who prepared these settings can try them"))
    with transaction.atomic():
        waiting = ProviderVersion.objects.filter(pk=version.pk, state__in=IN_PREPARATION)
        theirs = waiting.filter(Q(changed_by=None) | Q(changed_by=person))
        if not theirs.update(state=_STATE.TRIED, tried_at=now, changed_by=person):
            raise Conflict(_("these settings are not in preparation any more"))
        _record(version.provider, audit.Actor.person(person), "identity_provider.tried", {"version": version.pk})
    version.refresh_from_db()


def may_try(version: ProviderVersion, person: Person | None) -> bool:
    """Whether the settings are the person's to try: they prepared them, or a key did."""
    return person is not None and version.changed_by_id in (None, person.pk)


def activate(version: ProviderVersion, *, by: Caller, now: datetime) -> None:
    """Put tried settings to use, instead of those that were, also those that somebody else prepared and tried.

    A provider vouches for owners too: whoever chooses it could make themselves one. So only an owner does.
    Raises `Forbidden`, `NotFound`, `Conflict` (nobody signed in with them yet).
    """
    by.require(Permission.PROVIDER_UPDATE)
    if version.provider.tenant_id != by.tenant.pk:
        raise NotFound("provider")
    if by.role != Role.OWNER:
        raise Forbidden(_("only an owner puts a provider to use, as it vouches for owners too"))
    with transaction.atomic():
        _lock(version.provider)
        fresh = ProviderVersion.objects.get(pk=version.pk)
        if fresh.state != _STATE.TRIED:
            raise Conflict(_("sign in with these settings first: an owner then puts them to use"))
        _replace_active(fresh, now)
        detail = {"version": fresh.pk, "issuer": fresh.issuer, "client_id": fresh.client_id}
        _tell(by, fresh.issuer)
        _record(version.provider, by.actor, "identity_provider.activated", detail)
    version.refresh_from_db()


def withdraw(version: ProviderVersion, *, by: Caller, now: datetime) -> None:
    """Give up settings in preparation. Raises `Forbidden`, `NotFound`, `Conflict`."""
    by.require(Permission.PROVIDER_UPDATE)
    if version.provider.tenant_id != by.tenant.pk:
        raise NotFound("provider")
    with transaction.atomic():
        waiting = ProviderVersion.objects.filter(pk=version.pk, state__in=IN_PREPARATION)
        if not waiting.update(state=_STATE.OFF, ended_at=now):
            raise Conflict(_("these settings are not in preparation any more"))
        _record(version.provider, by.actor, "identity_provider.withdrawn", {"version": version.pk})


def switch_off(provider: IdentityProvider, *, by: Caller, now: datetime) -> None:
    """Close the tenant's own door: its people come through the shared one again, and sessions through it end.

    Raises `Forbidden`, `NotFound`, `Conflict` (not in use).
    """
    by.require(Permission.PROVIDER_UPDATE)
    if provider.tenant_id != by.tenant.pk:
        raise NotFound("provider")
    with transaction.atomic():
        _lock(provider)
        if not provider.versions.filter(state=_STATE.ACTIVE).update(state=_STATE.OFF, ended_at=now):
            raise Conflict(_("the provider is not in use"))
        ended = end_all_through(provider, reason="provider_off", now=now)
        shared = shared_version()
        _tell(by, shared.issuer if shared else "–")
        _record(provider, by.actor, "identity_provider.switched_off", {"sessions_ended": ended})


def set_provider(
    *, audience: IdentityProvider.Audience, name: str, settings: ProviderSettings, actor: audit.Actor, now: datetime
) -> bool:
    """The operators' or the shared provider, in use at once: for who holds the machine. False where it was so before.

    Raises `Invalid`.
    """
    settings, name = settings.cleaned(), clean_name(name)
    with transaction.atomic():
        provider = _locked_provider(audience, None, name)
        active = active_version(provider)
        if active is not None and _is_the_same(active, settings) and provider.name == name:
            return False
        IdentityProvider.objects.filter(pk=provider.pk).update(name=name)
        _replace_active(_new_version(provider, settings, None), now)
        _record(provider, actor, "identity_provider.set", settings.described() | {"name": name})
    return True


def active_version(provider: IdentityProvider) -> ProviderVersion | None:
    """The settings in use."""
    return _versions().filter(provider=provider, state=_STATE.ACTIVE).first()


def version_in_preparation(provider: IdentityProvider) -> ProviderVersion | None:
    """The settings that wait for their trial or for being put to use."""
    return _versions().filter(provider=provider, state__in=IN_PREPARATION).first()


def version_by_id(version_id: int) -> ProviderVersion:
    """Settings that are in use or in preparation. Raises `NotFound`."""
    version = _versions().filter(pk=version_id).exclude(state=_STATE.OFF).first()
    if version is None:
        raise NotFound("provider")
    return version


def provider_of(tenant: Tenant) -> IdentityProvider | None:
    """The tenant's own provider, in use or not."""
    return IdentityProvider.objects.select_related("tenant").filter(tenant=tenant).first()


def version_for_tenant(slug: str) -> ProviderVersion | None:
    """What a tenant's people sign in through: its own provider, else the shared one. None where neither is in use, or
    there is no such tenant.
    """
    if not Tenant.objects.filter(slug=slug).exists():
        return None
    own = _versions().filter(provider__tenant__slug=slug, state=_STATE.ACTIVE).first()
    return own or shared_version()


def version_for_email(email: str) -> ProviderVersion | None:
    """What the holder of the address signs in through: the own provider of the domain's tenant, else the shared one.

    Whether there is anybody with this address makes no difference.
    """
    domain = email.strip().lower().rpartition("@")[2]
    own = _versions().filter(state=_STATE.ACTIVE, provider__tenant__email_domains__domain=domain).first()
    return own or shared_version()


def shared_version() -> ProviderVersion | None:
    """What all client tenants share."""
    return _versions().filter(provider__audience=IdentityProvider.Audience.SHARED, state=_STATE.ACTIVE).first()


def versions_shown_to(tenant: Tenant) -> list[ProviderVersion]:
    """The newest settings in each state of the tenant's own provider, and those in use that all tenants share."""
    shared = Q(provider__audience=IdentityProvider.Audience.SHARED, state=_STATE.ACTIVE)
    found = _versions().select_related("changed_by").filter(Q(provider__tenant=tenant) | shared)
    return list(found.order_by("provider_id", "state", "-id").distinct("provider_id", "state"))


def has_tenants_provider() -> bool:
    """Whether any tenant signs in through a provider of its own."""
    return _versions().filter(provider__audience=IdentityProvider.Audience.TENANT, state=_STATE.ACTIVE).exists()


def one_in_use_of_each_kind() -> list[ProviderVersion]:
    """The operators', what all tenants share, and one of some tenant's own: those that are in use."""
    return list(_versions().filter(state=_STATE.ACTIVE).order_by("provider__audience").distinct("provider__audience"))


def operators_version() -> ProviderVersion | None:
    """What operators sign in through."""
    return _versions().filter(provider__audience=IdentityProvider.Audience.OPERATORS, state=_STATE.ACTIVE).first()


def version_by_handle(handle: str) -> ProviderVersion | None:
    """The settings in use of the provider of this name in addresses."""
    versions = _versions().filter(state=_STATE.ACTIVE)
    kind, _, slug = handle.partition("-")
    if kind == IdentityProvider.Audience.TENANT.value:
        return versions.filter(provider__tenant__slug=slug).first()
    return versions.filter(provider__audience=handle, provider__tenant=None).first()


def client_secret(version: ProviderVersion) -> str:
    """The client's secret, opened. Raises `SecretBoxError`."""
    return secret_box.open_sealed(version.sealed_secret, secret_context(version.provider_id)).decode()


def settings_of(version: ProviderVersion) -> ProviderSettings:
    """The settings, without the secret."""
    return ProviderSettings(
        issuer=version.issuer,
        client_id=version.client_id,
        groups_claim=version.groups_claim,
        required_acr=tuple(version.required_acr),
        required_amr=tuple(version.required_amr),
    )


def _versions() -> QuerySet[ProviderVersion]:
    return ProviderVersion.objects.select_related("provider__tenant")


def _locked_provider(audience: IdentityProvider.Audience, tenant: Tenant | None, name: str) -> IdentityProvider:
    provider, _ = IdentityProvider.objects.get_or_create(audience=audience, tenant=tenant, defaults={"name": name})
    _lock(provider)
    return provider


def _lock(provider: IdentityProvider) -> None:
    IdentityProvider.objects.select_for_update(no_key=True).get(pk=provider.pk)


def _new_version(provider: IdentityProvider, settings: ProviderSettings, person: Person | None) -> ProviderVersion:
    active = active_version(provider)
    if not settings.client_secret and (active is None or active.issuer != settings.issuer):
        raise Invalid("client_secret", _("must be given"))  # also so that nobody sends a kept one elsewhere
    sealed = bytes(active.sealed_secret) if active else b""
    if settings.client_secret:
        sealed = secret_box.seal(settings.client_secret.encode(), secret_context(provider.pk))
    provider.versions.filter(state__in=IN_PREPARATION).update(state=_STATE.OFF)
    return ProviderVersion.objects.create(
        provider=provider,
        issuer=settings.issuer,
        client_id=settings.client_id,
        sealed_secret=sealed,
        groups_claim=settings.groups_claim,
        required_acr=list(settings.required_acr),
        required_amr=list(settings.required_amr),
        changed_by=person,
    )


def _replace_active(version: ProviderVersion, now: datetime) -> None:
    version.provider.versions.filter(state=_STATE.ACTIVE).update(state=_STATE.OFF, ended_at=now)
    ProviderVersion.objects.filter(pk=version.pk).update(state=_STATE.ACTIVE)


def _is_the_same(version: ProviderVersion, settings: ProviderSettings) -> bool:
    kept = not settings.client_secret or client_secret(version) == settings.client_secret
    return kept and settings_of(version) == replace(settings, client_secret="")


def _tell(by: Caller, issuer: str) -> None:
    """Who administers the organisation hears at once through whom its people sign in from now on."""
    notify(by.tenant, "provider.changed", context={"by": name_of(by), "issuer": issuer})


def _record(provider: IdentityProvider, actor: audit.Actor, action: str, detail: dict[str, Any]) -> None:
    audit.record(tenant=provider.tenant, actor=actor, action=action, target=provider, detail=detail)


def secret_context(provider_id: int) -> str:
    """What a provider's client secrets are sealed for."""
    return f"identity.provider:{provider_id}"


def _require_issuer(issuer: str) -> None:
    """OpenID Connect Discovery 3: an https address without query and fragment; http for hosts in the house."""
    try:
        parts = urlsplit(issuer)
        fine = bool(parts.hostname) and not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError:
        parts, fine = urlsplit(""), False
    schemes = ("https", "http") if parts.hostname in django_settings.PRIVATE_PROVIDER_HOSTS else ("https",)
    if not fine or parts.scheme not in schemes or len(issuer) > 255 or not issuer.isascii() or not issuer.isprintable():
        raise Invalid("issuer", _('must be an address such as "https://login.example.org"'))


def _words(field: str, words: tuple[str, ...], length_max: int) -> tuple[str, ...]:
    cleaned = tuple(dict.fromkeys(clean_name(word, field, length_max) for word in words if word.strip()))
    if len(cleaned) > REQUIRED_MAX:
        raise Invalid(field, _("must be at most %(count)s") % {"count": REQUIRED_MAX})
    return cleaned
