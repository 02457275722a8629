"""The life of an API key: minted, shown once, verified, revoked.

**Peppers.** A key is verified with the pepper that its row names. New keys take the current one (the highest number in
BEFFROI_KEY_PEPPERS). Rows cannot move to another pepper: that takes the secret, which we do not have. So a rotation
goes: add a pepper with a higher number and restart; old keys keep working; have them replaced, or wait for their
expiry; `manage.py key_peppers` tells how many live keys name each pepper; take away one that none names. Taking it away
earlier refuses its keys, which is what to do when a pepper and the database have both leaked.
"""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from identity import audit, key_format
from identity.access import Caller
from identity.client_address import Address, address_is_in, parse_networks
from identity.errors import Conflict, Forbidden, KeyRefused, NotFound, Refusal
from identity.key_policy import KeyPolicy, policy_of, require_no_more
from identity.keyring import current
from identity.models import ApiKey, Membership, Person, Project, Tenant
from identity.permissions import Permission, may_give
from identity.wording import clean_name

# Every gateway holds every live key in memory, about 200 bytes each: a program that loops must not fill it.
LIVE_KEYS_OF_A_PROJECT_MAX = 10_000


def mint_api_key(
    *, maker: Caller, project: Project, name: str, policy: KeyPolicy, owner: Person | None = None
) -> tuple[ApiKey, str]:
    """A new key and its text, which is shown once and stored nowhere.

    maker: decides what the key may do: no scope that the maker lacks; a key passes on at most its own policy, project
    and owner (I6)
    owner: the person whose key it is and with whom it goes; None: the project's
    Raises `Forbidden`, `Invalid`, `Conflict` (archived project, too many keys), `NotFound` (another tenant's project).
    """
    name = clean_name(name)
    policy = policy.cleaned(timezone.now())
    _require_may_mint(maker, project, policy, owner)
    with transaction.atomic():
        _require_room(project)
        if owner is not None:
            _lock_membership(owner, maker.tenant)
        pepper_id, pepper = current(settings.KEY_PEPPERS)
        text, lookup = key_format.make_key()
        parsed = key_format.parse_key(text)
        assert parsed is not None
        key = ApiKey.objects.create(
            tenant=maker.tenant,
            project=project,
            owner=owner,
            created_by=maker.person,
            name=name,
            lookup=lookup,
            digest=key_format.digest(parsed.secret, pepper),
            pepper_id=pepper_id,
            scopes=sorted(policy.scopes),
            allowed_models=list(policy.allowed_models),
            ip_ranges=list(policy.ip_ranges),
            origins=list(policy.origins),
            expires_at=policy.expires_at,
        )
        detail = _described(policy) | {"name": name, "project": project.pk, "owner": _pseudonym_of(owner)}
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
    """The live key of this text, with tenant, project and owner loaded. Raises `KeyRefused`.

    client_ip: see `client_address`; None fits no key that is tied to addresses
    origin: the Origin header, which a browser always sends; None: no browser
    """
    parsed = key_format.parse_key(text)
    if parsed is None:
        raise KeyRefused(Refusal.MALFORMED)
    key = ApiKey.objects.select_related("tenant", "project", "owner").filter(lookup=parsed.lookup).first()
    pepper = settings.KEY_PEPPERS.get(key.pepper_id) if key else None
    if key is None or pepper is None or not key_format.matches(parsed.secret, pepper, bytes(key.digest)):
        raise KeyRefused(Refusal.UNKNOWN)
    reason = refusal_of(key, client_ip=client_ip, origin=origin, now=now)
    if reason:
        raise KeyRefused(reason)
    return key


def refusal_of(key: ApiKey, *, client_ip: Address | None, origin: str | None, now: datetime) -> Refusal | None:
    """Why a key whose secret was right does not open the door now; None where it does."""
    if key.revoked_at is not None:
        return Refusal.REVOKED
    if key.expires_at is not None and key.expires_at <= now:
        return Refusal.EXPIRED
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
    """Pepper number -> how many keys that still work name it."""
    live = ApiKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)
    return dict(live.values_list("pepper_id").annotate(Count("id")).order_by("pepper_id"))


def _require_may_mint(maker: Caller, project: Project, policy: KeyPolicy, owner: Person | None) -> None:
    if project.tenant_id != maker.tenant.pk or (maker.project_ids is not None and project.pk not in maker.project_ids):
        raise NotFound("project")
    maker.require(Permission.KEY_CREATE)
    for scope in policy.scopes:
        if not may_give(scope, maker.permissions):
            raise Forbidden(scope.value)
    if maker.key is not None:
        require_no_more(policy, policy_of(maker.key))
        if maker.key.owner_id != (owner.pk if owner else None):
            raise Forbidden("owner")
    elif owner is not None and owner != maker.person and not maker.may(Permission.MEMBER_UPDATE):
        raise Forbidden("owner")


def _require_room(project: Project) -> None:
    """Counted without a lock: two at once may both be the last, which harms nobody."""
    if not Project.objects.filter(pk=project.pk, status=Project.Status.ACTIVE).exists():
        raise Conflict("the project is archived")
    if project.api_keys.filter(revoked_at=None).count() >= LIVE_KEYS_OF_A_PROJECT_MAX:
        raise Conflict(f"a project has at most {LIVE_KEYS_OF_A_PROJECT_MAX} keys that are not revoked")


def _lock_membership(person: Person, tenant: Tenant) -> None:
    """Keeps the person a member until the key exists: whoever ends that then finds the key and revokes it."""
    members = Membership.objects.select_for_update(of=("self", "person")).select_related("person")
    if not members.filter(person=person, person__is_active=True, tenant=tenant).exists():
        raise NotFound("owner")


def _described(policy: KeyPolicy) -> dict[str, Any]:
    return {
        "scopes": sorted(policy.scopes),
        "allowed_models": list(policy.allowed_models),
        "ip_ranges": list(policy.ip_ranges),
        "origins": list(policy.origins),
        "expires_at": policy.expires_at.isoformat() if policy.expires_at else None,
    }


def _pseudonym_of(person: Person | None) -> str | None:
    return str(person.pseudonym) if person else None
