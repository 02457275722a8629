"""Reminders that a key is about to expire: 30, 7 and 1 days before, once each."""

from datetime import datetime, timedelta

from identity.models import ApiKey, Notice
from identity.notices import notify

DAYS_BEFORE = (30, 7, 1)
# A worker that was away for less tells what it missed; for longer, the next reminder does.
LOOK_BACK = timedelta(days=1)
KIND = "api_key.expires"


def remind_of_expiry(now: datetime) -> int:
    """Tell of the keys that have come to 30, 7 or 1 days before their end. Answers how many reminders.

    A project's key: the builders who know of the project; a person's: that person.

    Run it at least once in `LOOK_BACK`. Twice is once: a reminder names the key, its end and the days, and where the
    end was moved there is another. A key that lives for less than the days is not reminded of them.
    """
    return sum(_remind(days, now) for days in DAYS_BEFORE)


def _remind(days: int, now: datetime) -> int:
    ahead = timedelta(days=days)
    live = ApiKey.objects.filter(kind=ApiKey.Kind.API, revoked_at=None, tenant__status="active")
    due = live.filter(expires_at__gt=max(now, now + ahead - LOOK_BACK), expires_at__lte=now + ahead)
    count = 0
    for key in due.select_related("tenant", "project", "owner").iterator(chunk_size=500):
        assert key.expires_at is not None
        if key.expires_at - key.created_at <= ahead:
            continue
        notify(
            key.tenant,
            KIND,
            level=Notice.Level.ALERT if days == min(DAYS_BEFORE) else None,
            people=[key.owner] if key.owner else [],
            project=key.project,
            context={"key": key.lookup, "name": key.name, "expires_at": key.expires_at.isoformat(), "days": days},
            once_key=f"{KIND}:{key.lookup}:{key.expires_at.isoformat()}:{days}",
        )
        count += 1
    return count
