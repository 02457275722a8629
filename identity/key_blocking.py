"""In an emergency an operator stops a key: a leaked one that its tenant does not answer for in time, say.

It can be taken back, and it shows nothing: an operator names the key by what follows `bfr_`, and learns only whether it
was stopped. The tenant is told, and finds it in its own audit chain. No operator makes, rotates or reads a key.
"""

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from identity import audit
from identity.errors import NotFound
from identity.models import ApiKey, Person, Role
from identity.notices import notify
from identity.operators import require_operator
from identity.permissions import OperatorPermission
from identity.wording import clean_name

REASON_LENGTH_MAX = 200  # characters; the width of the column


def block_api_key(lookup: str, *, by: Person, reason: str) -> bool:
    """Refuse the key from now on, within a second; requests that run go on. False where it was blocked before.

    reason: the tenant reads it
    Raises `Forbidden` (no operator who may), `NotFound`, `Invalid`.
    """
    reason = clean_name(reason, "reason", REASON_LENGTH_MAX)
    return _change(lookup, by, is_block=True, reason=reason)


def unblock_api_key(lookup: str, *, by: Person, reason: str) -> bool:
    """Let the key work again. False where it was not blocked. Raises as `block_api_key`."""
    reason = clean_name(reason, "reason", REASON_LENGTH_MAX)
    return _change(lookup, by, is_block=False, reason=reason)


def blocked_keys(by: Person) -> QuerySet[ApiKey]:
    """What is blocked on the platform, newest first: public id, organisation, reason. Raises `Forbidden`."""
    require_operator(by, OperatorPermission.KEY_BLOCK)
    blocked = ApiKey.objects.exclude(blocked_at=None).select_related("tenant").order_by("-blocked_at")
    return blocked.only("lookup", "blocked_at", "blocked_reason", "tenant__name")


def _change(lookup: str, by: Person, *, is_block: bool, reason: str) -> bool:
    require_operator(by, OperatorPermission.KEY_BLOCK)
    with transaction.atomic():
        keys = ApiKey.objects.select_for_update(of=("self",), no_key=True).select_related("tenant", "owner")
        key = keys.filter(lookup=lookup).first()
        if key is None:
            raise NotFound("key")
        if is_block == (key.blocked_at is not None):
            return False
        key.blocked_at, key.blocked_reason = (timezone.now(), reason) if is_block else (None, "")
        key.save(update_fields=["blocked_at", "blocked_reason"])
        happened = "blocked" if is_block else "unblocked"
        notify(
            key.tenant,
            "api_key.blocked" if is_block else "api_key.unblocked",
            people=[key.owner] if key.owner else [],
            roles=(Role.OWNER, Role.ADMINISTRATOR),
            context={"key": key.lookup, "name": key.name, "reason": reason},
        )
        actor = audit.Actor.operator(by)
        audit.record(
            tenant=key.tenant, actor=actor, action=f"api_key.{happened}", target=key, detail={"reason": reason}
        )
    return True
