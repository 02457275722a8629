"""The life of an operator's key: made, shown once, used, revoked. Programs run the platform with it (`/api/operator/`).

It is digested like an API key (`key_format.py`, the same peppers) and is none: no tenant has it, and neither inference
nor a tenant's API takes it. Its maker gives it no more than they have (I6).
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from identity import audit, key_format
from identity.errors import Conflict, Forbidden, Invalid, KeyRefused, NotFound, Refusal
from identity.keyring import current
from identity.models import OperatorKey
from identity.operators import Operator
from identity.permissions import OPERATOR_SCOPE_PERMISSIONS, OperatorPermission
from identity.scopes import OperatorScope
from identity.wording import clean_name

# A year and a day: a key made on the day that its predecessor ends may end on the same date.
LIFE_MAX = timedelta(days=366)
USUAL_LIFE_DAYS = 365
# A program that loops must not fill the list.
LIVE_MAX = 100
# How often "last used" is written.
_NOTED_EVERY = timedelta(minutes=1)


def make_operator_key(
    *, by: Operator, name: str, scopes: Iterable[OperatorScope], expires_at: datetime
) -> tuple[OperatorKey, str]:
    """A new key and its text, which is shown once and stored nowhere.

    Raises `Forbidden` (also for a scope that the maker lacks the permissions of), `Invalid`, `Conflict` (too many).
    """
    by.require(OperatorPermission.OPERATOR_KEY_UPDATE)
    name, wanted, now = clean_name(name), frozenset(scopes), timezone.now()
    if not wanted:
        raise Invalid("scopes", "must name at least one scope")
    for scope in sorted(wanted):
        if beyond := OPERATOR_SCOPE_PERMISSIONS[scope] - by.permissions:
            raise Forbidden(min(beyond).value)
    if not now < expires_at <= now + LIFE_MAX:
        raise Invalid("expires_at", f"must be within {LIFE_MAX.days} days from now")
    text, lookup = key_format.make_operator_key()
    parsed = key_format.parse_operator_key(text)
    assert parsed is not None
    pepper_id, pepper = current(settings.KEY_PEPPERS)
    with transaction.atomic():
        if live_operator_keys(now).count() >= LIVE_MAX:
            raise Conflict(f"there are at most {LIVE_MAX} operator keys that work")
        key = OperatorKey.objects.create(
            name=name,
            lookup=lookup,
            digest=key_format.digest(parsed.secret, pepper),
            pepper_id=pepper_id,
            scopes=sorted(wanted),
            created_by=by.person,
            expires_at=expires_at,
        )
        detail = {"name": name, "scopes": sorted(wanted), "expires_at": expires_at.isoformat()}
        audit.record(actor=by.actor, action="operator_key.made", target=key, detail=detail)
    return key, text


def revoke_operator_key(*, by: Operator, lookup: str) -> bool:
    """Stop a key from its next request on. False where it was revoked before. Raises `Forbidden`, `NotFound`."""
    by.require(OperatorPermission.OPERATOR_KEY_UPDATE)
    key = OperatorKey.objects.filter(lookup=lookup).first()
    if key is None:
        raise NotFound("operator key")
    with transaction.atomic():
        if not OperatorKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
            return False
        audit.record(actor=by.actor, action="operator_key.revoked", target=key)
    return True


def operator_keys_for(by: Operator) -> QuerySet[OperatorKey]:
    """All keys, newest first, with who made them. Raises `Forbidden`."""
    by.require(OperatorPermission.PLATFORM_READ)
    return OperatorKey.objects.select_related("created_by").order_by("-id")


def live_operator_keys(now: datetime) -> QuerySet[OperatorKey]:
    """Those that work."""
    return OperatorKey.objects.filter(revoked_at=None, expires_at__gt=now)


def authenticate_operator_key(text: str, *, now: datetime) -> OperatorKey:
    """The live key of this text, its use noted. Raises `KeyRefused`."""
    parsed = key_format.parse_operator_key(text)
    if parsed is None:
        raise KeyRefused(Refusal.MALFORMED)
    key = OperatorKey.objects.filter(lookup=parsed.lookup).first()
    pepper = settings.KEY_PEPPERS.get(key.pepper_id) if key else None
    if key is None or pepper is None or not key_format.matches(parsed.secret, pepper, bytes(key.digest)):
        raise KeyRefused(Refusal.UNKNOWN)
    if key.revoked_at is not None:
        raise KeyRefused(Refusal.REVOKED)
    if key.expires_at <= now:
        raise KeyRefused(Refusal.EXPIRED)
    if key.last_used_at is None or now - key.last_used_at >= _NOTED_EVERY:
        OperatorKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key
