"""Sessions of people: begun, seen, ended. A session counts only while its row here is open, so that ending is exact.

Whoever keeps the session itself (a cookie's store) asks `open_sign_in` at every request.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from identity import audit
from identity.access import tenants_of
from identity.access_news import tell_access_changed
from identity.claims import Claims
from identity.errors import NotFound
from identity.models import IdentityProvider, Person, SignIn, Tenant

# A working day, after which a person signs in again, whatever they do meanwhile. Who does nothing: `SESSION_IDLE`.
LIFETIME = timedelta(hours=12)
# How often "last seen" is written: a page's reader moves about more often than anybody wants to know.
SEEN_EVERY = timedelta(minutes=1)
# Chains that hear of one sign-in. Who is in more tenants than this is found in the platform's chain.
CHAINS_MAX = 20
_BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True, slots=True)
class Client:
    """Where a sign-in comes from; `address` None where it cannot be told."""

    address: str | None = None
    user_agent: str = ""


def begin(
    *,
    person: Person,
    session_key: str,
    door: SignIn.Door,
    client: Client,
    now: datetime,
    provider: IdentityProvider | None = None,
    claims: Claims | None = None,
) -> SignIn:
    """Open a session, and tell the chains of the tenants that it can reach (the platform's for an operator)."""
    with transaction.atomic():
        sign_in = SignIn.objects.create(
            person=person,
            digest=digest_of(session_key),
            door=door,
            provider=provider,
            subject=claims.subject if claims else "",
            sid=claims.sid if claims else "",
            acr=claims.acr if claims else "",
            amr=sorted(claims.amr)[:20] if claims else [],
            mfa_seen=claims.mfa_seen if claims else door == SignIn.Door.BREAK_GLASS,
            address=client.address,
            user_agent=summary_of(client.user_agent),
            began_at=now,
            checked_at=now,
            last_seen_at=now,
        )
        detail = {"door": sign_in.door, "provider": provider.handle if provider else "", "mfa": sign_in.mfa_seen}
        for tenant in _chains_of(person, provider):
            audit.record(
                tenant=tenant, actor=_actor(person), action="sign_in.begun", target=_target(sign_in), detail=detail
            )
    return sign_in


def open_sign_in(session_key: str) -> SignIn | None:
    """The session's row with person and provider, while it is open and its person may be in.

    An operator is in through the operators' provider, a link or break-glass only; who came through a tenant's own
    provider is confined to that tenant (`person.only_tenant_id`).
    """
    mine = _live().filter(digest=digest_of(session_key), person__is_active=True)
    found = mine.select_related("person", "provider__tenant").first()
    if found is None:
        return None
    provider = found.provider
    if provider is not None:
        if found.person.is_operator != (provider.audience == IdentityProvider.Audience.OPERATORS):
            return None
        found.person.only_tenant_id = provider.tenant_id
    return found


def mark_seen(sign_in: SignIn, now: datetime) -> None:
    """Remember that the person uses the session, once a minute: what a page asks by itself is no use."""
    if now - sign_in.last_seen_at >= SEEN_EVERY:
        SignIn.objects.filter(pk=sign_in.pk, last_seen_at__lt=now).update(last_seen_at=now)


def mark_checked(sign_in: SignIn, claims: Claims, now: datetime) -> None:
    """Remember that the provider vouched for the person once more."""
    SignIn.objects.filter(pk=sign_in.pk).update(checked_at=now, sid=claims.sid or sign_in.sid)


def end(sign_in: SignIn, *, reason: str, now: datetime) -> bool:
    """End one session, from its next request on. False where it was over."""
    return _end(SignIn.objects.filter(pk=sign_in.pk), reason, now) == 1


def end_all(
    person: Person,
    *,
    reason: str,
    now: datetime,
    but: SignIn | None = None,
    through: IdentityProvider | None = None,
) -> int:
    """End all sessions of the person (but the one given, or those through a provider only). Returns how many."""
    sessions = _sessions_of(person)
    if through is not None:
        sessions = sessions.filter(provider=through)
    return _end(sessions.exclude(pk=but.pk) if but else sessions, reason, now)


def end_all_through(provider: IdentityProvider, *, reason: str, now: datetime) -> int:
    """End all sessions that a provider vouched for. Returns how many there were."""
    return _end(SignIn.objects.filter(provider=provider), reason, now)


def end_by_provider(provider: IdentityProvider, *, sid: str, subject: str, now: datetime) -> int:
    """End what the provider says is over: one session of its (`sid`), or all of a subject where it names none.

    OpenID Connect Back-Channel Logout 1.0, 2.7. Returns how many there were.
    """
    if not sid and not subject:
        return 0
    sessions = SignIn.objects.filter(provider=provider)
    if sid:
        sessions = sessions.filter(sid=sid)
    if subject:
        sessions = sessions.filter(subject=subject)
    return _end(sessions, "provider", now)


def sessions_of(person: Person) -> QuerySet[SignIn]:
    """The person's open sessions, the latest used first."""
    return (_sessions_of(person) & _live()).order_by("-last_seen_at", "-id")


def end_session(person: Person, sign_in_id: int, *, now: datetime) -> None:
    """End one of one's own sessions. Raises `NotFound`."""
    sign_in = sessions_of(person).filter(pk=sign_in_id).first()
    if sign_in is None:
        raise NotFound("session")
    end(sign_in, reason="ended_by_person", now=now)


def digest_of(session_key: str) -> bytes:
    """What is kept of a session's key."""
    return hashlib.sha256(session_key.encode()).digest()


def summary_of(user_agent: str) -> str:
    """Browser and system, such as "Firefox, Linux"; the rest of the header would be a fingerprint."""
    browser = next((name for mark, name in _BROWSERS if re.search(rf"\b{mark}", user_agent)), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    return ", ".join(filter(None, (browser, system)))


def _live() -> QuerySet[SignIn]:
    """Within both time-outs (NIST SP 800-63B-4, 2.2.3): since the sign-in, and since the person last did something."""
    mine = SignIn.objects.filter(ended_at=None, began_at__gt=Now() - LIFETIME)
    return mine.filter(last_seen_at__gt=Now() - settings.SESSION_IDLE)


def _sessions_of(person: Person) -> QuerySet[SignIn]:
    """Who came through a tenant's own provider sees and ends only what came that way: the tenant itself may ask."""
    sessions = SignIn.objects.filter(person=person)
    return sessions if person.only_tenant_id is None else sessions.filter(provider__tenant_id=person.only_tenant_id)


def _end(sessions: QuerySet[SignIn], reason: str, now: datetime) -> int:
    """In the order of their chains, as everybody locks them."""
    with transaction.atomic():
        open_ones = sessions.filter(ended_at=None).select_for_update(of=("self",))
        ended = list(open_ones.select_related("person", "provider__tenant").order_by("id"))
        SignIn.objects.filter(pk__in=[row.pk for row in ended]).update(ended_at=now, end_reason=reason)
        tell_access_changed(row.person_id for row in ended)
        told = [(tenant, row) for row in ended for tenant in _chains_of(row.person, row.provider)]
        for tenant, row in sorted(told, key=lambda pair: pair[0].pk if pair[0] else 2**63):
            audit.record(
                tenant=tenant,
                actor=_actor(row.person),
                action="sign_in.ended",
                target=_target(row),
                detail={"reason": reason},
            )
    return len(ended)


def _chains_of(person: Person, provider: IdentityProvider | None) -> Iterable[Tenant | None]:
    if person.is_operator:
        return [None]
    if provider is not None and provider.tenant is not None:
        return [provider.tenant]
    tenants = list(tenants_of(person).order_by("id")[: CHAINS_MAX + 1])
    return [None] if not tenants or len(tenants) > CHAINS_MAX else tenants


def _actor(person: Person) -> audit.Actor:
    return audit.Actor.operator(person) if person.is_operator else audit.Actor.person(person)


def _target(sign_in: SignIn) -> audit.Target:
    return audit.Target("sign_in", str(sign_in.pk))
