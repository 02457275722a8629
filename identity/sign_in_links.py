"""One-time sign-in links of a demo installation, and of the first operator's set-up. Only a digest is stored."""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db import transaction

from identity import audit
from identity.models import Person, SignInLink

# Nobody needs longer to click on what a terminal printed.
LIFETIME_MAX = timedelta(days=1)


def make_link(person: Person, lifetime: timedelta, *, actor: audit.Actor, now: datetime) -> str:
    """The secret (43 characters, 256 bits) of a link that signs the person in once within `lifetime`."""
    if not timedelta(0) < lifetime <= LIFETIME_MAX:
        raise ValueError(f"a sign-in link lives at most {LIFETIME_MAX}")
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        # Used and expired ones have nothing left to say: the audit chain has told it.
        SignInLink.objects.filter(person=person, expires_at__lt=now).delete()
        SignInLink.objects.create(person=person, digest=_digest(secret), expires_at=now + lifetime)
        audit.record(actor=actor, action="sign_in_link.made", target=person)
    return secret


def redeem(secret: str, *, now: datetime) -> Person | None:
    """The person, the first time a live link is used; else None, whatever was wrong with it."""
    with transaction.atomic():
        links = SignInLink.objects.filter(
            digest=_digest(secret), used_at=None, expires_at__gt=now, person__is_active=True
        )
        link = links.select_related("person").select_for_update(of=("self",)).first()
        if link is None:
            return None
        SignInLink.objects.filter(pk=link.pk).update(used_at=now)
        audit.record(actor=audit.Actor.person(link.person), action="sign_in_link.used", target=link.person)
    return link.person


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
