"""Keys found by what people know of them: a word of the name, the beginning of the key, project, person, state.

Fast with half a million keys a tenant: a page continues after the last one (keyset), and what there is altogether is
counted up to `COUNTED_MAX` only.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Greatest
from django.utils.translation import gettext as _

from identity.access import Caller, keys_for
from identity.errors import Invalid
from identity.models import ApiKey, KeyUse, Person

EXPIRES_SOON = timedelta(days=14)
UNUSED = timedelta(days=90)
COUNTED_MAX = 1_000
TEXT_LENGTH_MAX = 200
_PREFIX = "bfr_"


class State(StrEnum):
    """What there is to know of a key. A key is one of the first five; the others may be said of those that work.

    EXPIRING in less than 14 days, UNUSED for 90 days or since it was made before, ROTATING while two secrets work
    """

    ACTIVE = "active"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    REVOKED = "revoked"
    BLOCKED = "blocked"
    ROTATING = "rotating"
    UNUSED = "unused"


class Sort(StrEnum):
    """NEWEST made first, or LAST_USED first; those that were never used come last.

    Keys of a state that few are in (`_RARE`) are the newest first always: by their use, all others would be read.
    """

    NEWEST = "newest"
    LAST_USED = "last-used"


@dataclass(frozen=True, slots=True)
class KeyFilters:
    """What to look for; empty ones do not narrow.

    text: in the name, or the beginning of the key itself, with or without `bfr_`
    person: the pseudonym of whose key it is, or who answers for it while it works
    """

    text: str = ""
    project_id: int | None = None
    person: UUID | None = None
    state: State | None = None
    sort: Sort = Sort.NEWEST


_RARE = (State.EXPIRING, State.EXPIRED, State.REVOKED, State.BLOCKED, State.ROTATING)


class KeyPage(NamedTuple):
    """`next` continues the list, None is its end; `total` is exact up to COUNTED_MAX, then COUNTED_MAX + 1."""

    keys: list[ApiKey]
    next: str | None
    total: int


def search_keys(caller: Caller, filters: KeyFilters, *, now: datetime, after: str = "", size: int) -> KeyPage:
    """One page of the keys that the caller may know of. Raises `Forbidden`, `Invalid` (a cursor of something else)."""
    found = _found(caller, filters, now)
    sort = Sort.NEWEST if filters.state in _RARE else filters.sort
    latest = now - UNUSED if filters.state == State.UNUSED else now + timedelta(hours=1)
    rows = _newest(found, after, size + 1) if sort == Sort.NEWEST else _last_used(found, latest, after, size + 1)
    total = len(found.order_by().values_list("pk")[: COUNTED_MAX + 1]) if len(rows) > size or after else len(rows)
    page = rows[:size]
    return KeyPage(page, _cursor(page[-1], sort) if len(rows) > size else None, total)


def state_of(key: ApiKey, now: datetime) -> State:
    """The one state that says most of the key."""
    if key.revoked_at is not None:
        return State.REVOKED
    if key.blocked_at is not None:
        return State.BLOCKED
    if key.expires_at is not None and key.expires_at <= now:
        return State.EXPIRED
    if key.previous_ends_at is not None and key.previous_ends_at > now:
        return State.ROTATING
    if key.expires_at is not None and key.expires_at <= now + EXPIRES_SOON:
        return State.EXPIRING
    return State.ACTIVE


def _found(caller: Caller, filters: KeyFilters, now: datetime) -> QuerySet[ApiKey]:
    found = keys_for(caller)
    text = filters.text.strip()[:TEXT_LENGTH_MAX]
    if text:
        found = found.filter(_has_text(text))
    if filters.project_id is not None:
        found = found.filter(project=filters.project_id)
    if filters.person is not None:
        # By the id: an index has the keys of each person, and one those that each answers for.
        person = Person.objects.filter(pseudonym=filters.person).values_list("pk", flat=True).first()
        found = found.filter(Q(owner=person or 0) | Q(responsible=person or 0, owner=None, revoked_at=None))
    if filters.state is not None:
        found = found.filter(_is_in(filters.state, now))
    return found


def _has_text(text: str) -> Q:
    """Of a whole key only its look-up is looked for: its secret goes nowhere."""
    if text.startswith(_PREFIX):
        return Q(lookup__startswith=text.removeprefix(_PREFIX).partition("_")[0])
    return Q(name__icontains=text) | (Q(lookup__startswith=text) if text.isalnum() else Q())


def _is_in(state: State, now: datetime) -> Q:
    works = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now))
    match state:
        case State.ACTIVE:
            return works & Q(blocked_at=None)
        case State.EXPIRING:
            return Q(revoked_at=None, expires_at__gt=now, expires_at__lte=now + EXPIRES_SOON)
        case State.EXPIRED:
            return Q(revoked_at=None, expires_at__lte=now)
        case State.REVOKED:
            return Q(revoked_at__isnull=False)
        case State.BLOCKED:
            return Q(blocked_at__isnull=False, revoked_at=None)
        case State.ROTATING:
            return works & Q(previous_ends_at__gt=now)
        case State.UNUSED:
            # Not "never used, or before": of few such keys among many that would sort all with all that they are.
            lately = KeyUse.objects.filter(key=OuterRef("pk"), used_hour__gte=now - UNUSED)
            return works & Q(created_at__lt=now - UNUSED) & Q(~Exists(lately))


def _newest(found: QuerySet[ApiKey], after: str, size: int) -> list[ApiKey]:
    if after:
        found = found.filter(pk__lt=_number(after))
    return list(found.order_by("-pk")[:size])


def _last_used(found: QuerySet[ApiKey], latest: datetime, after: str, size: int) -> list[ApiKey]:
    """By the hour, which has an index, and within it by the time, from `latest` on. Then those that were never used."""
    hour, at, key_id = _place(after)
    rows: list[ApiKey] = []
    if not after or at is not None:
        used = found.filter(use__used_hour__lte=latest).annotate(used_at=_USED_AT)
        if at is not None:
            later = Q(use__used_hour__lt=hour) | Q(use__used_hour=hour, used_at__lt=at)
            used = used.filter(later | Q(use__used_hour=hour, used_at=at, pk__lt=key_id), use__used_hour__lte=hour)
        rows = list(used.order_by("-use__used_hour", "-used_at", "-pk")[:size])
    if len(rows) < size:
        never = found.filter(use__used_hour=None)
        if after and at is None:
            never = never.filter(pk__lt=key_id)
        rows += never.order_by("-pk")[: size - len(rows)]
    return rows


# The database's `greatest` knows nothing of a missing time: it takes the other one.
_USED_AT = Greatest("use__last_used_at", "use__previous_last_used_at")


def _cursor(last: ApiKey, sort: Sort) -> str:
    use: KeyUse | None = getattr(last, "use", None)
    if sort == Sort.NEWEST or use is None or use.used_hour is None:
        return str(last.pk)
    at = max(filter(None, (use.last_used_at, use.previous_last_used_at)))
    return f"{last.pk}.{int(use.used_hour.timestamp())}.{round(at.timestamp() * 1_000_000)}"


def _place(after: str) -> tuple[datetime | None, datetime | None, int]:
    """What `_cursor` made of a key: the hour and time of its last use, and its id."""
    key_id, _, times = after.partition(".")
    if not times:
        return None, None, _number(key_id or "0")
    hour, _, at = times.partition(".")
    return _time(_number(hour) * 1_000_000), _time(_number(at)), _number(key_id)


def _time(microseconds: int) -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    except OverflowError:
        raise Invalid("after", _("must be what a page before gave")) from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise Invalid("after", _("must be what a page before gave"))
    return int(text)
