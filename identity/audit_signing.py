"""Signed checkpoints of the audit chain (X4): what a chain's hash was at a link, under the installation's Ed25519 key.

The chain alone proves nothing against who can rewrite all of it, head included. A checkpoint that somebody keeps
elsewhere does: the page, the API and every export give them out, `identity/audit_verifier.py` checks them.

BEFFROI_AUDIT_KEYS holds the key's 32 secret bytes, as a numbered ring like the other secrets: the highest number signs,
the others stay, so that what they signed is known. `make up` makes the first.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import connection

from identity.audit_verifier import checkpoint_text
from identity.keyring import current
from identity.models import AuditCheckpoint, AuditHead, Tenant

# A chain that grows all the time is signed so often: what was rewritten within it cannot be told from what was not.
EVERY = timedelta(hours=1)


def utc_text(at: datetime) -> str:
    """An instant as the chain writes it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def public_keys() -> list[str]:
    """The installation's public keys in hex, the one that signs now first."""
    numbers = sorted(settings.AUDIT_KEYS, reverse=True)
    return [_public(settings.AUDIT_KEYS[number]) for number in numbers]


def signed_statement(tenant_id: int | None, sequence: int, link_hash: bytes, at: datetime) -> dict[str, Any]:
    """That the chain's hash at a link is this one: the members of a checkpoint's line, signature included."""
    line = {"tenant": tenant_id, "sequence": sequence, "hash": link_hash.hex(), "at": utc_text(at)}
    _, secret = current(settings.AUDIT_KEYS)
    signature = Ed25519PrivateKey.from_private_bytes(secret).sign(checkpoint_text(line))
    return line | {"public_key": _public(secret), "signature": signature.hex()}


def line_of_checkpoint(checkpoint: AuditCheckpoint) -> dict[str, Any]:
    """A checkpoint as a line of an export."""
    return {
        "type": "checkpoint",
        "tenant": checkpoint.tenant_id,
        "sequence": checkpoint.sequence,
        "hash": bytes(checkpoint.hash).hex(),
        "at": utc_text(checkpoint.at),
        "public_key": bytes(checkpoint.public_key).hex(),
        "signature": bytes(checkpoint.signature).hex(),
    }


def checkpoint(tenant: Tenant | None) -> AuditCheckpoint | None:
    """Sign the chain's present head, unless it is signed already. None for a chain without links."""
    head = AuditHead.objects.filter(tenant=tenant).first()
    return None if head is None else _sign(head)


def checkpoint_chains() -> int:
    """Sign every chain that grew since its last checkpoint, at most once in `EVERY`. Returns how many were signed."""
    now, signed = _database_now(), 0
    for head in AuditHead.objects.select_related("tenant").order_by("pk").iterator():
        last = AuditCheckpoint.objects.filter(tenant=head.tenant).order_by("-sequence").first()
        if last is None or (last.sequence < head.sequence and last.at <= now - EVERY):
            _sign(head)
            signed += 1
    return signed


def _sign(head: AuditHead) -> AuditCheckpoint:
    at = _database_now()
    line = signed_statement(head.tenant_id, head.sequence, bytes(head.hash), at)
    row = AuditCheckpoint(
        tenant_id=head.tenant_id,
        sequence=head.sequence,
        hash=bytes(head.hash),
        at=at,
        public_key=bytes.fromhex(line["public_key"]),
        signature=bytes.fromhex(line["signature"]),
    )
    # Two at once sign the same: the first stays.
    AuditCheckpoint.objects.bulk_create([row], ignore_conflicts=True)
    return AuditCheckpoint.objects.get(tenant=head.tenant, sequence=head.sequence)


@lru_cache(maxsize=16)
def _public(secret: bytes) -> str:
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw().hex()


def _database_now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("select clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now
