"""The life of an API key: minted, shown once, verified, revoked. Beside it: `key_rotation.py`, `key_changes.py`,
`key_blocking.py`.

**Peppers.** A secret is verified with the pepper that its row names. New ones take the current one (the highest number
in BEFFROI_KEY_PEPPERS). They cannot move to another pepper: that takes the secret, which we do not have. So a change of
peppers goes: add a pepper with a higher number and restart; old keys keep working; have them rotated, or wait for their
expiry; `manage.py key_peppers` tells how many live keys name each pepper; take away one that none names. Taking it away
earlier refuses its keys, which is what to do when a pepper and the database have both leaked.
"""

from collections import Counter
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from identity import audit, key_format
from identity.access import Caller
from identity.client_address import Address, address_is_in, parse_networks
from identity.errors import Conflict, Invalid, KeyRefused, NotFound, Refusal
from identity.key_policy import KeyPolicy, described, require_may_give
from identity.key_rules import rules_of
from identity.keyring import current
from identity.models import ApiKey, Membership, OperatorKey, Person, Project, Tenant
from identity.permissions import Permission
from identity.wording import clean_name

# Every gateway holds every live key in memory, about 200 bytes each: a program that loops must not fill it.
LIVE_KEYS_OF_A_PROJECT_MAX = 10_000


def mint_api_key(
    *,
    maker: Caller,
    project: Project,
    name: str,
    policy: KeyPolicy,
    owner: Person | None = None,
    responsible: Person | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its text, which is shown once and stored nowhere.

    maker: decides what the key may do: no scope that the maker lacks; a key passes on at most its own policy, project
    and owner (I6)
    owner: the person whose key it is and with whom it goes; None: the project's
    responsible: who answers for a project's key; None: who makes it, or who answers for the key that makes it
    Raises `Forbidden`, `Invalid` (also where the tenant's rules for keys forbid it), `Conflict` (archived project, too
    many keys), `NotFound` (another tenant's project).
    """
    name = clean_name(name)
    now = timezone.now()
    rules = rules_of(maker.tenant)
    policy = rules.completed(policy.cleaned(now))
    maker.require(Permission.KEY_CREATE)
    require_may_give(maker, project, policy, owner)
    rules.require_may_create(maker)
    rules.require_within(policy, since=now, is_personal=owner is not None)
    responsible = _responsible(maker, project, owner, responsible)
    with transaction.atomic():
        require_room(project)
        if owner is not None:
            _lock_membership(owner, maker.tenant)
        text, lookup = key_format.make_key()
        secret = digested(text)
        key = ApiKey.objects.create(
            tenant=maker.tenant,
            project=project,
            owner=owner,
            responsible=responsible,
            created_by=maker.person,
            name=name,
            lookup=lookup,
            digest=secret.digest,
            pepper_id=secret.pepper_id,
            **columns_of(policy),
        )
        detail = described(policy) | {"name": name, "project": project.pk, "owner": pseudonym_of(owner)}
        detail["responsible"] = pseudonym_of(responsible)
        audit.record(tenant=maker.tenant, actor=maker.actor, action="api_key.minted", target=key, detail=detail)
    return key, text


def revoke_api_key(key: ApiKey, *, actor: audit.Actor, reason: str = "") -> bool:
    """Stop a key for good; gateways refuse it within a second. False where it was revoked before."""
    reason = clean_name(reason, "reason") if reason else ""
    with transaction.atomic():
        now = timezone.now()
        if not ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now):
            return False
        key.revoked_at = now
        audit.record(tenant=key.tenant, actor=actor, action="api_key.revoked", target=key, detail={"reason": reason})
    return True


def revoke_keys_of_person(person: Person, *, actor: audit.Actor, tenant: Tenant | None = None) -> int:
    """Stop all keys that are the person's, in one tenant or in all. Returns how many there were."""
    keys = ApiKey.objects.filter(owner=person, revoked_at=None).select_related("tenant").order_by("tenant_id", "id")
    if tenant is not None:
        keys = keys.filter(tenant=tenant)
    with transaction.atomic():
        return sum(revoke_api_key(key, actor=actor, reason="the owner has no access any more") for key in keys)


def authenticate(text: str | bytes, *, client_ip: Address | None, origin: str | None, now: datetime) -> ApiKey:
    """The live key of this text, with tenant, project, owner and use loaded. Raises `KeyRefused`.

    client_ip: see `client_address`; None fits no key that is tied to addresses
    origin: the Origin header, which a browser always sends; None: no browser
    """
    parsed = key_format.parse_key(text)
    if parsed is None:
        raise KeyRefused(Refusal.MALFORMED)
    key = ApiKey.objects.select_related("tenant", "project", "owner", "use").filter(lookup=parsed.lookup).first()
    if key is None:
        raise KeyRefused(Refusal.UNKNOWN)
    # Both secrets are compared, whatever the first comparison says: how long it takes tells nothing.
    is_current = _is_secret(parsed.secret, key.pepper_id, key.digest)
    is_previous = _is_secret(parsed.secret, key.previous_pepper_id, key.previous_digest)
    if not (is_current or is_previous):
        raise KeyRefused(Refusal.UNKNOWN)
    key.asked_with_previous_secret = not is_current
    reason = refusal_of(key, client_ip=client_ip, origin=origin, now=now)
    if reason:
        raise KeyRefused(reason, key)
    return key


def refusal_of(key: ApiKey, *, client_ip: Address | None, origin: str | None, now: datetime) -> Refusal | None:
    """Why a key whose secret was right does not open the door now; None where it does."""
    if key.revoked_at is not None:
        return Refusal.REVOKED
    if key.blocked_at is not None:
        return Refusal.BLOCKED
    if key.expires_at is not None and key.expires_at <= now:
        return Refusal.EXPIRED
    if key.asked_with_previous_secret and (key.previous_ends_at is None or key.previous_ends_at <= now):
        return Refusal.ROTATED
    if key.tenant.status != Tenant.Status.ACTIVE:
        return Refusal.TENANT_SUSPENDED
    if key.project.status != Project.Status.ACTIVE:
        return Refusal.PROJECT_ARCHIVED
    if key.ip_ranges and (client_ip is None or not address_is_in(client_ip, parse_networks(key.ip_ranges))):
        return Refusal.ADDRESS
    if origin is not None and origin not in key.origins:
        return Refusal.ORIGIN
    return None


def live_keys_by_pepper(now: datetime) -> dict[int, int]:
    """Pepper number -> how many secrets that still work name it, those in their grace after a rotation and
    those of operator's keys too.
    """
    live = ApiKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)
    counts = Counter(dict(live.values_list("pepper_id").annotate(Count("id"))))
    previous = live.filter(previous_ends_at__gt=now)
    counts.update(dict(previous.values_list("previous_pepper_id").annotate(Count("id"))))
    of_operator = OperatorKey.objects.filter(revoked_at=None, expires_at__gt=now)
    counts.update(dict(of_operator.values_list("pepper_id").annotate(Count("id"))))
    return dict(sorted(counts.items()))


class Digested(NamedTuple):
    """What is stored of a text: its digest, and with which pepper it was made."""

    digest: bytes
    pepper_id: int


def digested(text: str) -> Digested:
    """What to store of a text that was just made, with the current pepper."""
    pepper_id, pepper = current(settings.KEY_PEPPERS)
    parsed = key_format.parse_key(text)
    assert parsed is not None
    return Digested(key_format.digest(parsed.secret, pepper), pepper_id)


def columns_of(policy: KeyPolicy) -> dict[str, Any]:
    """The policy as the table has it."""
    return {
        "scopes": sorted(policy.scopes),
        "allowed_models": list(policy.allowed_models),
        "ip_ranges": list(policy.ip_ranges),
        "origins": list(policy.origins),
        "expires_at": policy.expires_at,
    }


def locked_key(key: ApiKey) -> ApiKey:
    """The key as it is now, locked until the transaction ends. Raises `NotFound` for one of "Try it"."""
    keys = ApiKey.objects.select_for_update(of=("self",), no_key=True)
    row = keys.select_related("tenant", "project", "owner", "responsible").get(pk=key.pk)
    if row.kind != ApiKey.Kind.API:
        raise NotFound("key")
    return row


def require_may_answer_for(person: Person, project: Project) -> None:
    """Raises `Invalid` where the person is no active member who may know of the project."""
    if not _may_answer_for(person, project):
        raise Invalid("responsible", _("must be a member who works on this project"))


def pseudonym_of(person: Person | None) -> str | None:
    """How the audit chain names a person."""
    return str(person.pseudonym) if person else None


def _may_answer_for(person: Person, project: Project) -> bool:
    members = Membership.objects.filter(person=person, person__is_active=True, tenant=project.tenant_id)
    return members.filter(Q(in_all_projects=True) | Q(projects=project)).exists()


def _responsible(maker: Caller, project: Project, owner: Person | None, asked: Person | None) -> Person | None:
    if owner is not None:  # who answers for it
        return None
    if asked is not None:
        require_may_answer_for(asked, project)
        return asked
    inherited = maker.key.responsible if maker.key else maker.person
    return inherited if inherited is not None and _may_answer_for(inherited, project) else None


def _is_secret(secret: bytes, pepper_id: int | None, stored: bytes | memoryview | None) -> bool:
    pepper = settings.KEY_PEPPERS.get(pepper_id) if pepper_id is not None else None
    return stored is not None and pepper is not None and key_format.matches(secret, pepper, bytes(stored))


def require_room(project: Project) -> None:
    """Counted without a lock: two at once may both be the last, which harms nobody."""
    if not Project.objects.filter(pk=project.pk, status=Project.Status.ACTIVE).exists():
        raise Conflict(_("the project is archived"))
    if project.api_keys.filter(revoked_at=None, kind=ApiKey.Kind.API).count() >= LIVE_KEYS_OF_A_PROJECT_MAX:
        raise Conflict(
            _("a project has at most %(count)s keys that are not revoked") % {"count": LIVE_KEYS_OF_A_PROJECT_MAX}
        )


def _lock_membership(person: Person, tenant: Tenant) -> None:
    """Keeps the person a member until the key exists: whoever ends that then finds the key and revokes it."""
    members = Membership.objects.select_for_update(of=("self", "person")).select_related("person")
    if not members.filter(person=person, person__is_active=True, tenant=tenant).exists():
        raise NotFound("owner")
