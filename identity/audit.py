"""The audit chain: who changed what, when, from where, through which door. One chain a tenant, and one (`tenant` None)
for the platform itself.

    hash = SHA-256(previous_hash || canonical JSON of the link)        previous_hash of the first link: 32 zero bytes
    canonical JSON = keys sorted by code point, no spaces, UTF-8, of the members action, actor, actor_kind, at, detail,
                     door, names, sequence, target, target_kind, tenant (its id, or null), version (2)

so anybody can check an exported chain with SHA-256 and a JSON library: `identity/audit_verifier.py` does. Links of
version 1 lack the members door, names and version. `sequence` counts from 1 without gaps; `at` is the database's clock
in UTC, read when the chain is locked, so that it runs forwards whichever machine writes.

The chain holds ids and pseudonyms. Names, e-mail addresses and network addresses are kept beside it (`AuditName`),
where a person's can be erased; the chain has a salted hash of them (`names`): see `identity/audit_names.py`.

What it proves: a link that was changed, removed or inserted is found, unless whoever did it could switch the triggers
off and then rewrote every later link and the head as well. Against that, only a checkpoint that was copied elsewhere
helps: `identity/audit_checkpoints.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Self

from django.db import connection, models
from django.db.transaction import TransactionManagementError

from identity import audit_verifier
from identity.audit_context import origin
from identity.audit_names import Names, Part, SaltedNames, merged, split
from identity.audit_signing import line_of_checkpoint, public_keys, utc_text
from identity.audit_verifier import FIRST_PREVIOUS_HASH, ChainVerifier, Flaw
from identity.key_format import find_key
from identity.models import (
    ApiKey,
    AuditCheckpoint,
    AuditEvent,
    AuditHead,
    AuditName,
    OperatorKey,
    Person,
    Project,
    Tenant,
)

VERSION = 2
# Bytes of JSON: the longest policy of a key fits (200 models, 64 networks, 32 origins); documents do not belong here.
DETAIL_BYTES_MAX = 65_536
_ACTION = re.compile(r"[a-z_]+\.[a-z_]+")

# Makes or moves the head on and thereby locks it until the transaction ends: the next writer of this chain waits here.
_LOCK_HEAD = """
    insert into identity_audithead (tenant_id, sequence, hash) values (%s, 1, %s)
    on conflict (tenant_id) do update set sequence = identity_audithead.sequence + 1
    returning sequence, hash, clock_timestamp()
"""


class ActorKind(StrEnum):
    """PERSON a member, OPERATOR one who runs the platform (both by pseudonym), KEY an API key, OPERATOR_KEY a key of
    the operator's (both by look-up), SYSTEM a part of the product (by name).
    """

    PERSON = "person"
    OPERATOR = "operator"
    KEY = "key"
    OPERATOR_KEY = "operator_key"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, in a form that stays true when the person is erased.

    known_as: what the person or key is called now; kept beside the chain
    """

    kind: ActorKind
    name: str
    known_as: Names | None = field(default=None, compare=False, repr=False)

    @classmethod
    def person(cls, person: Person) -> Self:
        """Somebody, as a member of a tenant."""
        return cls(ActorKind.PERSON, str(person.pseudonym), _names_of_person(person))

    @classmethod
    def operator(cls, person: Person) -> Self:
        """Somebody, as one of those who run the platform."""
        return cls(ActorKind.OPERATOR, str(person.pseudonym), _names_of_person(person))

    @classmethod
    def key(cls, key: ApiKey) -> Self:
        """A program, through its API key."""
        return cls(ActorKind.KEY, key.lookup, _names_of_key(key))

    @classmethod
    def operator_key(cls, key: OperatorKey) -> Self:
        """A program that runs the platform, through its key."""
        return cls(ActorKind.OPERATOR_KEY, key.lookup, Names({"name": key.name}))

    @classmethod
    def system(cls, component: str) -> Self:
        """A part of the product acting by itself, such as "seed_demo"."""
        return cls(ActorKind.SYSTEM, component)


class Target(NamedTuple):
    """What was changed, where it is no row of ours; for a row give the row itself.

    name: an id (it goes into the chain); shown: what people call it (it is kept beside the chain)
    """

    kind: str
    name: str
    shown: str = ""


class Verdict(NamedTuple):
    """What `verify_chain` found: how many links hold, the hash of the last one, and the first that does not.

    signed: the last link that a checkpoint signed; erased: how many parts with names were erased
    """

    links: int
    hash: bytes
    broken: Flaw | None
    signed: int = 0
    erased: int = 0


def record(
    *,
    actor: Actor,
    action: str,
    target: models.Model | Target,
    tenant: Tenant | None = None,
    detail: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Add a link to the tenant's chain, inside the transaction of the change that it tells of.

    action: `noun.past_participle`, such as "api_key.revoked"; pages word it in `console/audit_wording.py`
    target: a row, whose name is kept too, or a `Target`
    before, after: the members that changed, as they were and as they are; one of them alone for what is new or gone
    detail: whatever else is to be told. All three are what JSON can say without floats; no secret, nothing of a prompt.
    Names and addresses in them are kept beside the chain (`audit_names.PRIVATE_MEMBERS`: `name`, `email`, `reason` ...)
    The door and the client's address come from `audit_context`.

    The chain stays locked until the transaction ends: call it last, and the platform's chain after a tenant's.
    Raises TransactionManagementError outside of a transaction, ValueError for a detail that does not belong here.
    """
    if not connection.in_atomic_block:
        raise TransactionManagementError("audit.record() belongs into the transaction of the change itself")
    if not _ACTION.fullmatch(action):
        raise ValueError(f"{action!r} is no action: `noun.past_participle`")
    public, private = split(_whole_detail(detail, before, after))
    named = target_of(target)
    parts = _parts(actor, target, private)
    tenant_id = tenant.pk if tenant else None
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_HEAD, [tenant_id, FIRST_PREVIOUS_HASH])
        sequence, previous_hash, at = cursor.fetchone()
    event = AuditEvent(
        tenant_id=tenant_id,
        sequence=sequence,
        at=at,
        actor_kind=actor.kind.value,
        actor=actor.name,
        action=action,
        target_kind=named.kind,
        target=named.name,
        detail=public,
        previous_hash=bytes(previous_hash),
        version=VERSION,
        door=origin().door.value,
        names={part.value: salted.commitment for part, salted in parts.items()},
    )
    event.hash = hash_of(event)
    event.save(force_insert=True)
    AuditHead.objects.filter(tenant=tenant).update(hash=event.hash)
    AuditName.objects.bulk_create(
        AuditName(event=event, part=part.value, person=names.person, salt=salt, content=dict(names.content))
        for part, names, salt in ((part, salted.names, salted.salt) for part, salted in parts.items())
    )
    return event


def verify_chain(tenant: Tenant | None) -> Verdict:
    """Recompute a whole chain, its names and its checkpoints, and compare it with its head.

    Reads every link once; may run while others write.
    """
    # The head first: links that others add meanwhile are then found after it, never missed before it.
    head = AuditHead.objects.filter(tenant=tenant).first()
    signed = AuditCheckpoint.objects.filter(tenant=tenant).order_by("sequence")
    verifier = ChainVerifier(
        trusted=frozenset(public_keys()),
        tenant=tenant.pk if tenant else None,
        kept={checkpoint.sequence: line_of_checkpoint(checkpoint) for checkpoint in signed},
    )
    events = AuditEvent.objects.filter(tenant=tenant).order_by("sequence").prefetch_related("known_as")
    hash_at_head: bytes | None = None
    for event in events.iterator(chunk_size=1_000):
        verifier.event(line_of(event))
        if head and head.sequence == verifier.sequence:
            hash_at_head = verifier.hash
        if verifier.flaw:
            break
    verifier.finish()
    flaw = verifier.flaw or _flaw_at_head(head, verifier.links, hash_at_head)
    return Verdict(verifier.links, verifier.hash, flaw, verifier.last_checkpoint, verifier.erased)


def _flaw_at_head(head: AuditHead | None, links: int, hash_at_head: bytes | None) -> Flaw | None:
    if head is None:
        return Flaw(links, "the chain has no head") if links else None
    if head.sequence > links:
        return Flaw(links + 1, "missing at the end of the chain")
    return None if hash_at_head == bytes(head.hash) else Flaw(head.sequence, "the chain's head has another hash")


def line_of(event: AuditEvent, *, with_names: bool = True) -> dict[str, Any]:
    """The event as a line of an export: see `identity/audit_verifier.py`. `with_names` reads `known_as`; without, the
    line is as if they were erased.
    """
    rows = event.known_as.all() if with_names else ()
    return members_of(event) | {
        "type": "event",
        "previous_hash": bytes(event.previous_hash).hex(),
        "hash": bytes(event.hash).hex(),
        "known_as": {row.part: {"salt": bytes(row.salt).hex(), "content": row.content} for row in rows},
    }


def members_of(event: AuditEvent) -> dict[str, Any]:
    """What is hashed after the previous hash, as its one text: see the top of this module."""
    members = {
        "tenant": event.tenant_id,
        "sequence": event.sequence,
        "at": utc_text(event.at),
        "actor_kind": event.actor_kind,
        "actor": event.actor,
        "action": event.action,
        "target_kind": event.target_kind,
        "target": event.target,
        "detail": event.detail,
    }
    if event.version == 1:
        return members
    return members | {"version": event.version, "door": event.door, "names": event.names}


def told(event: AuditEvent) -> dict[str, Any]:
    """The event's detail with the names that are kept beside the chain, as far as they were not erased."""
    private: dict[str, Any] = next((row.content for row in event.known_as.all() if row.part == Part.DETAIL), {})
    return merged(event.detail, private)


def hash_of(event: AuditEvent) -> bytes:
    """The hash that fits the row and the hash before it."""
    return audit_verifier.link_hash(bytes(event.previous_hash), members_of(event))


def target_of(target: models.Model | Target) -> Target:
    """How the chain names a row."""
    if isinstance(target, Target):
        return target
    kind = type(target).__name__.lower()
    if isinstance(target, Person):
        return Target(kind, str(target.pseudonym))
    return Target(kind, target.lookup if isinstance(target, ApiKey | OperatorKey) else str(target.pk))


def _parts(actor: Actor, target: models.Model | Target, private: dict[str, Any]) -> dict[Part, SaltedNames]:
    """What is kept beside the chain, the parts that are empty left out."""
    about = _names_of_target(target)
    who = actor.known_as or Names({})
    address = origin().address
    if address is not None:
        who = Names({**who.content, "address": str(address)}, who.person)
    parts = {Part.ACTOR: who, Part.TARGET: about, Part.DETAIL: Names(private, about.person)}
    return {part: SaltedNames.of(names) for part, names in parts.items() if names.content}


def _names_of_target(target: models.Model | Target) -> Names:
    match target:
        case Person():
            return _names_of_person(target)
        case ApiKey():
            return _names_of_key(target)
        case Tenant() | Project() | OperatorKey():
            return Names({"name": target.name})
        case Target() if target.shown:
            return Names({"name": target.shown})
    return Names({})


def _names_of_person(person: Person) -> Names:
    content = {"name": person.name, "email": person.email}
    return Names({member: text for member, text in content.items() if text}, person.pseudonym)


def _names_of_key(key: ApiKey) -> Names:
    return Names({"name": key.name}, key.owner.pseudonym if key.owner else None)


def _whole_detail(
    detail: Mapping[str, Any] | None, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> dict[str, Any]:
    whole = dict(detail or {})
    for name, values in (("before", before), ("after", after)):
        if values is not None:
            whole[name] = dict(values)
    _check_detail(whole)
    return whole


def _check_detail(detail: Mapping[str, Any]) -> None:
    """Refuse what would not come back from PostgreSQL as it went in, or must not be kept for ever."""
    _check_types(detail)
    text = audit_verifier.canonical_json(detail)
    if len(text) > DETAIL_BYTES_MAX:
        raise ValueError(f"an audit detail has at most {DETAIL_BYTES_MAX} bytes")
    if find_key(text):
        raise ValueError("an audit detail holds an API key")


def _check_types(value: object) -> None:
    match value:
        case None | bool() | int():
            return
        case str():
            if "\0" in value:
                raise ValueError("PostgreSQL stores no NUL in an audit detail")
        case dict() if all(isinstance(key, str) for key in value):
            for key, member in value.items():
                _check_types(key)
                _check_types(member)
        case list():
            for member in value:
                _check_types(member)
        case _:
            raise ValueError(
                f"an audit detail holds text, whole numbers, booleans, None, lists, dicts, no {type(value)}"
            )
