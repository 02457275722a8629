"""Tokens of a tenant's directory, which provisions people by SCIM: made, used, revoked.

A token has 256 random bits, so that a plain SHA-256 of it is safe to keep.
"""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller
from identity.errors import Conflict, NotFound
from identity.models import Role, ScimToken, Tenant
from identity.permissions import Permission
from identity.wording import clean_name

PREFIX = "bfr_scim_"
TOKENS_MAX = 10  # in use, of a tenant: one, and the next while it is being changed
_RANDOM_BYTES = 32
# How often "last used" is written: a directory that synchronises asks many times a second.
_NOTED_EVERY = timedelta(minutes=1)


def make_token(*, by: Caller, name: str) -> tuple[ScimToken, str]:
    """A token for the caller's tenant, and its text, which can be read here only.

    Raises `Forbidden`, `Invalid`, `Conflict` (too many).
    """
    by.require(Permission.PROVIDER_UPDATE)
    name = clean_name(name)
    text = f"{PREFIX}{secrets.token_urlsafe(_RANDOM_BYTES)}"
    with transaction.atomic():
        Tenant.objects.select_for_update(no_key=True).get(pk=by.tenant.pk)  # one after the other, for the count
        if ScimToken.objects.filter(tenant=by.tenant, revoked_at=None).count() >= TOKENS_MAX:
            raise Conflict(_("an organisation has at most %(count)s provisioning tokens") % {"count": TOKENS_MAX})
        token = ScimToken.objects.create(
            tenant=by.tenant,
            name=name,
            digest=_digest_of(text),
            made_by_owner=by.is_system or by.role == Role.OWNER,
            created_by=by.person,
        )
        audit.record(
            tenant=by.tenant, actor=by.actor, action="scim_token.made", target=token, detail={"name": token.name}
        )
    return token, text


def revoke_token(*, by: Caller, token_id: int, now: datetime) -> None:
    """Stop a token from its next request on. Nothing where it was. Raises `Forbidden`, `NotFound`."""
    by.require(Permission.PROVIDER_UPDATE)
    with transaction.atomic():
        token = ScimToken.objects.select_for_update().filter(tenant=by.tenant, pk=token_id).first()
        if token is None:
            raise NotFound("token")
        if token.revoked_at is not None:
            return
        ScimToken.objects.filter(pk=token.pk).update(revoked_at=now)
        audit.record(
            tenant=by.tenant, actor=by.actor, action="scim_token.revoked", target=token, detail={"name": token.name}
        )


def tokens_of(caller: Caller) -> QuerySet[ScimToken]:
    """The tokens in use of the caller's tenant, newest first. Raises `Forbidden`."""
    caller.require(Permission.PROVIDER_READ)
    return ScimToken.objects.filter(tenant=caller.tenant, revoked_at=None).order_by("-id")


def token_of(text: str, *, slug: str, now: datetime) -> ScimToken | None:
    """The tenant's live token of this text, its use noted. None: no such token there."""
    live = ScimToken.objects.select_related("tenant").filter(revoked_at=None)
    token = live.filter(digest=_digest_of(text)).first()
    if token is None or token.tenant.slug != slug:
        return None
    if token.last_used_at is None or now - token.last_used_at >= _NOTED_EVERY:
        ScimToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def tenant_of_revoked(text: str, *, slug: str) -> Tenant | None:
    """Whose revoked token this text is, for the audit of who goes on using it. None: nobody's that we know."""
    revoked = ScimToken.objects.select_related("tenant").exclude(revoked_at=None)
    token = revoked.filter(digest=_digest_of(text)).first()
    return token.tenant if token is not None and token.tenant.slug == slug else None


def _digest_of(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
