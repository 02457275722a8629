"""When the last backup was made, as the operator's script tells. Beffroi makes none, but sees when one is late."""

from datetime import datetime, timedelta
from enum import StrEnum

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from identity import audit
from identity.errors import Invalid
from identity.models import Backup
from identity.operators import Operator
from identity.permissions import OperatorPermission

# A backup a day, and two hours for one that takes longer than yesterday's.
LATE_AFTER = timedelta(hours=26)
_CLOCKS_DIFFER = timedelta(minutes=5)
_SIZE_MAX = 2**63 - 1


class BackupState(StrEnum):
    """DONE within `LATE_AFTER`; LATE before that; MISSING none was ever told of."""

    DONE = "done"
    LATE = "late"
    MISSING = "missing"


def note_backup(*, by: Operator, made_at: datetime, size_bytes: int) -> Backup:
    """Note that a backup was made. Told twice it is one. Raises `Forbidden`, `Invalid`."""
    by.require(OperatorPermission.PLATFORM_OPERATE)
    if made_at > timezone.now() + _CLOCKS_DIFFER:
        raise Invalid("made_at", _("must not be in the future"))
    if not 0 < size_bytes <= _SIZE_MAX:
        raise Invalid("size_bytes", _("must be above 0"))
    with transaction.atomic():
        backup, is_new = Backup.objects.get_or_create(made_at=made_at, size_bytes=size_bytes)
        if is_new:
            detail = {"made_at": made_at.isoformat(), "size_bytes": size_bytes}
            audit.record(actor=by.actor, action="backup.noted", target=backup, detail=detail)
    return backup


def last_backup() -> Backup | None:
    """The newest."""
    return Backup.objects.order_by("-made_at").first()


def state_of(backup: Backup | None, now: datetime) -> BackupState:
    """How a platform stands whose newest backup this is."""
    if backup is None:
        return BackupState.MISSING
    return BackupState.LATE if now - backup.made_at > LATE_AFTER else BackupState.DONE
