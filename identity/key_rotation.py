"""A new secret for a key, beside the one that it replaces for a while.

The key stays what it is: its look-up, name, policy, budgets and what was consumed of them. Whoever lost the answer to a
rotation lost the new secret with it, as it is stored nowhere: the one before still works, so they rotate again. That
must not cost them the one that works: a rotation that is *the same again* replaces only the secret that nobody got, and
leaves the one before and its end alone. It is the same again where it carries the same `request` (a client's
Idempotency-Key, or a random value in a form), or where the key itself asks with the secret before.
"""

import hashlib
from datetime import timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from identity import audit, key_format
from identity.access import Caller
from identity.api_keys import digested, locked_key
from identity.errors import Conflict, Invalid
from identity.key_policy import policy_of, require_may_give
from identity.key_rules import rules_of
from identity.members import name_of
from identity.models import ApiKey, KeyUse
from identity.notices import notify
from identity.permissions import Permission

GRACE_MAX = timedelta(days=90)  # longer is no rotation: then both secrets are simply in use
GRACE_DEFAULT = timedelta(days=1)


class Rotation(NamedTuple):
    """What a rotation did.

    key: as it is now; `previous_ends_at` says until when the secret before works
    text: of the key with its new secret: shown once, stored nowhere
    previous_ended: a secret in the grace of an earlier rotation still worked, and ended with this one
    is_repeat: the same rotation again: its first new secret ended, the secret before and its end stayed
    """

    key: ApiKey
    text: str
    previous_ended: bool
    is_repeat: bool


def rotate_api_key(key: ApiKey, *, by: Caller, grace: timedelta = GRACE_DEFAULT, request: str = "") -> Rotation:
    """Give the key a new secret; the present one works on for `grace` (0 to GRACE_MAX).

    At most two secrets work: one that is still in the grace of an earlier rotation ends now.
    request: names this rotation, so that it can be asked for again where its answer was lost; "": it cannot be
    Raises `Forbidden` (the caller has less than the key, which its new secret would give: I6), `Invalid` (grace),
    `Conflict` (revoked, expired, or outside of the tenant's rules: change it first), `NotFound`.
    """
    by.require(Permission.KEY_ROTATE)
    if not timedelta() <= grace <= GRACE_MAX:
        raise Invalid("grace", _("must be from 0 to %(count)s days") % {"count": GRACE_MAX.days})
    asked_as = hashlib.sha256(request.encode()).hexdigest() if request else ""
    with transaction.atomic():
        row = locked_key(key)
        require_may_give(by, row.project, policy_of(row), row.owner)
        _require_may_go_on(row)
        is_repeat = _is_repeat(row, by, asked_as)
        now = timezone.now()
        previous_lives = row.previous_ends_at is not None and row.previous_ends_at > now
        if not is_repeat:
            row.previous_digest, row.previous_pepper_id = row.digest, row.pepper_id
            row.previous_ends_at = now + grace
        text = key_format.with_new_secret(row.lookup)
        row.digest, row.pepper_id = digested(text)
        row.rotated_at, row.rotation_request = now, asked_as or (row.rotation_request if is_repeat else "")
        row.save(
            update_fields=[
                "digest", "pepper_id", "rotated_at", "rotation_request",
                "previous_digest", "previous_pepper_id", "previous_ends_at",
            ]
        )  # fmt: skip
        _move_use(row, is_repeat=is_repeat)
        if not is_repeat:
            _tell(row, by)
        ended = previous_lives and not is_repeat
        assert row.previous_ends_at is not None
        detail = {
            "previous_ends_at": row.previous_ends_at.isoformat(), "previous_ended": ended, "is_repeat": is_repeat,
        }  # fmt: skip
        audit.record(tenant=row.tenant, actor=by.actor, action="api_key.rotated", target=row, detail=detail)
    return Rotation(row, text, previous_ended=ended, is_repeat=is_repeat)


def end_previous_secret(key: ApiKey, *, by: Caller) -> bool:
    """End the secret before the present one now. False where none worked any more. Raises `Forbidden`, `NotFound`."""
    by.require(Permission.KEY_ROTATE)
    with transaction.atomic():
        row = locked_key(key)
        now = timezone.now()
        if row.previous_ends_at is None or row.previous_ends_at <= now:
            return False
        detail = {"would_have_ended_at": row.previous_ends_at.isoformat()}
        row.previous_ends_at = now
        row.save(update_fields=["previous_ends_at"])
        audit.record(
            tenant=row.tenant, actor=by.actor, action="api_key.previous_secret_ended", target=row, detail=detail
        )
    return True


def _tell(row: ApiKey, by: Caller) -> None:
    assert row.previous_ends_at is not None
    until = row.previous_ends_at.isoformat()
    context = {"key": row.lookup, "name": row.name, "by": name_of(by), "old_until_at": until}
    notify(row.tenant, "api_key.rotated", people=[row.owner] if row.owner else [], project=row.project, context=context)


def _require_may_go_on(row: ApiKey) -> None:
    now = timezone.now()
    if row.revoked_at is not None:
        raise Conflict(_("the key is revoked"))
    if row.expires_at is not None and row.expires_at <= now:
        raise Conflict(_("the key has expired"))
    try:
        rules_of(row.tenant).require_within(policy_of(row), since=now, is_personal=row.owner_id is not None)
    except Invalid as error:
        raise Conflict(_("change the key first: %(problem)s") % {"problem": error.message}) from None


def _is_repeat(row: ApiKey, by: Caller, asked_as: str) -> bool:
    if row.previous_digest is None:
        return False
    asks_itself = by.key is not None and by.key.pk == row.pk and by.key.asked_with_previous_secret
    return asks_itself or (bool(asked_as) and asked_as == row.rotation_request)


def _move_use(row: ApiKey, *, is_repeat: bool) -> None:
    """What is known of the present secret's use is from now on about the secret before."""
    use = KeyUse.objects.filter(key=row)
    if is_repeat:
        use.update(last_used_at=None)
    else:
        use.update(previous_last_used_at=F("last_used_at"), last_used_at=None)
