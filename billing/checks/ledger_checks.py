"""The ledger added up again every night (`verification.py`), and what came of it (I2, I3, I4).

A check that was missed is made as soon as the worker is back; one that was broken off is begun anew.
"""

from datetime import UTC, datetime, timedelta

from django.core.cache import cache
from django.db import connection, transaction
from django.utils import timezone

from billing.checks.verification import Difference, verify
from billing.models import LedgerCheck
from identity.notices import notify

HOUR_OF_NIGHT = 2  # UTC
# Nobody adds for so long: ten million records take minutes.
ABANDONED_AFTER = timedelta(hours=6)
KEPT = timedelta(days=400)
SHOWN_FOR_SECONDS = 60
_KEPT_AS = "last-ledger-check"
_FIRST_LENGTH_MAX = 500


def check_if_due(now: datetime) -> LedgerCheck | None:
    """Add the ledger up where nobody did since this night's hour; tell operators where it does not add up.

    None where it was done, or is being done. Not inside of a transaction.
    """
    check = _begin(now)
    if check is None:
        return None
    found = verify()
    LedgerCheck.objects.filter(pk=check.pk).update(
        ended_at=timezone.now(), differences=len(found), first=str(found[0])[:_FIRST_LENGTH_MAX] if found else ""
    )
    cache.delete(_KEPT_AS)
    if found:
        _tell(check, found)
    check.refresh_from_db()
    return check


def last_check() -> LedgerCheck | None:
    """The last one that came to its end, at most a minute late; None before the first."""
    kept: tuple[LedgerCheck | None] | None = cache.get(_KEPT_AS)
    if kept is None:
        kept = (LedgerCheck.objects.filter(ended_at__isnull=False).order_by("-began_at").first(),)
        cache.set(_KEPT_AS, kept, SHOWN_FOR_SECONDS)
    return kept[0]


def _begin(now: datetime) -> LedgerCheck | None:
    """Of several workers one begins."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(hashtextextended('ledger_checks', 0))")
        since = _last_night(now)
        made = LedgerCheck.objects.filter(began_at__gte=since)
        if made.filter(ended_at__isnull=False).exists() or made.filter(began_at__gt=now - ABANDONED_AFTER).exists():
            return None
        LedgerCheck.objects.filter(began_at__lt=now - KEPT).delete()
        return LedgerCheck.objects.create(began_at=now)


def _last_night(now: datetime) -> datetime:
    tonight = now.astimezone(UTC).replace(hour=HOUR_OF_NIGHT, minute=0, second=0, microsecond=0)
    return tonight if tonight <= now else tonight - timedelta(days=1)


def _tell(check: LedgerCheck, found: list[Difference]) -> None:
    with transaction.atomic():
        context = {"count": len(found), "first": str(found[0])[:_FIRST_LENGTH_MAX]}
        notify(None, "ledger.differs", context=context, once_key=f"ledger.differs:{check.pk}")
