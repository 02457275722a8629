"""The one local administrator, for the day when no identity provider answers: a password and a one-time code.

Made at the machine (`make`), by whoever could read everything there anyway. Its use is loud: every try is in the
platform's audit chain and in the operators' inboxes. Tries are counted in PostgreSQL, from one address and in all, so
that neither a second process nor a restart forgets them; a code works once.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from django.db import connection, transaction

from identity import audit, secret_box
from identity.models import BreakGlassTry, LocalAdministrator, Notice, OperatorRole, Person
from identity.notices import notify
from identity.operators import appoint_operator
from identity.people import create_person
from identity.sign_ins import end_all

EMAIL = "break-glass@localhost"  # nobody reads mail there
ISSUER_NAME = "Beffroi"
WINDOW = timedelta(minutes=15)
TRIES_OF_AN_ADDRESS_MAX = 5
# From all addresses together: with a six-digit code of one step either way, far from guessing the password as well.
TRIES_MAX = 20
SECRET_CONTEXT = "identity.break_glass"  # noqa: S105  # what the code's secret is sealed for
_STEP_SECONDS = 30
_LOCK = 0x6272676C  # of PostgreSQL's advisory locks: tries are counted one at a time
_hasher = PasswordHasher()  # Argon2id with the library's parameters, RFC 9106's second recommendation
# Compared with where there is no administrator: a wrong try takes as long either way.
_NOBODY = _hasher.hash(secrets.token_hex(16))


class TooManyTries(Exception):
    """Try again when the window has passed, or make the administrator anew at the machine, which forgets the tries."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Shown once. `uri` is what an authenticator app scans (otpauth://)."""

    password: str
    totp_secret: str
    uri: str


def make(*, actor: audit.Actor, now: datetime) -> Credentials:
    """Make the administrator, or give the one that is there a new password and code; its sessions end."""
    password = "-".join(secrets.token_hex(3) for _ in range(6))  # 144 bits, in groups that can be read out
    totp_secret = pyotp.random_base32()
    with transaction.atomic():
        person = Person.objects.filter(email=EMAIL).first()
        if person is None:
            person = create_person(email=EMAIL, name="Break-glass administrator", actor=actor)
        Person.objects.filter(pk=person.pk).update(is_active=True)
        appoint_operator(person, OperatorRole.PLATFORM, actor=actor)
        LocalAdministrator.objects.update_or_create(
            person=person,
            defaults={
                "password_hash": _hasher.hash(password),
                "sealed_secret": secret_box.seal(totp_secret.encode(), SECRET_CONTEXT),
                "last_step": 0,
                "made_at": now,
            },
        )
        end_all(person, reason="credentials_replaced", now=now)
        BreakGlassTry.objects.all().delete()
        audit.record(actor=actor, action="break_glass.made", target=person)
    uri = pyotp.TOTP(totp_secret).provisioning_uri(name="break-glass", issuer_name=ISSUER_NAME)
    return Credentials(password, totp_secret, uri)


def enter(*, password: str, code: str, address: str | None, now: datetime) -> Person | None:
    """The administrator where both are right, else None; told to the operators either way. Raises `TooManyTries`.

    Counted before anything is compared and committed by itself, so that no error takes a try back.
    """
    _count_try(address, now)
    with transaction.atomic():
        administrator = LocalAdministrator.objects.select_related("person").select_for_update(of=("self",)).first()
        is_right = _is_password(administrator, password)
        step = _step_of(administrator, code, now)
        if administrator is None or not is_right or step is None or not administrator.person.is_active:
            _tell("break_glass.refused", administrator, now)
            return None
        LocalAdministrator.objects.filter(pk=administrator.pk).update(last_step=step)
        _tell("break_glass.used", administrator, now)
    return administrator.person


def _count_try(address: str | None, now: datetime) -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        BreakGlassTry.objects.filter(at__lte=now - WINDOW).delete()
        counted = BreakGlassTry.objects.all()
        full = counted.count() >= TRIES_MAX or counted.filter(address=address).count() >= TRIES_OF_AN_ADDRESS_MAX
        if not full:
            BreakGlassTry.objects.create(address=address, at=now)
        else:
            # Once a window, not once a try: whoever floods the page must not flood the chain.
            once = f"break_glass.throttled:{int(now.timestamp() // WINDOW.total_seconds())}"
            if not Notice.objects.filter(tenant=None, once_key=once).exists():
                _tell("break_glass.throttled", None, now, once)
    if full:
        raise TooManyTries


def _is_password(administrator: LocalAdministrator | None, password: str) -> bool:
    try:
        _hasher.verify(administrator.password_hash if administrator else _NOBODY, password)
    except (VerificationError, InvalidHashError):
        return False
    return administrator is not None


def _step_of(administrator: LocalAdministrator | None, code: str, now: datetime) -> int | None:
    """The 30-second step whose code this is (RFC 6238), of the present one and its neighbours; None for a used one."""
    if administrator is None:
        return None
    totp = pyotp.TOTP(secret_box.open_sealed(administrator.sealed_secret, SECRET_CONTEXT).decode())
    present = int(now.timestamp()) // _STEP_SECONDS
    typed = "".join(code.split())
    for step in (present - 1, present, present + 1):
        if secrets.compare_digest(totp.at(step * _STEP_SECONDS).encode(), typed.encode()):
            return step if step > administrator.last_step else None
    return None


def _tell(action: str, administrator: LocalAdministrator | None, now: datetime, once_key: str = "") -> None:
    notify(None, action, level=Notice.Level.ALERT, context={"at": now.isoformat()}, once_key=once_key)
    actor = audit.Actor.operator(administrator.person) if administrator else audit.Actor.system("break_glass")
    audit.record(actor=actor, action=action, target=audit.Target("local_administrator", "break_glass"))
