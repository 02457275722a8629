"""The audit chain."""

from django.db import models

from identity.models.tenants import Tenant


class AuditEvent(models.Model):
    """One link of a tenant's audit chain (`tenant` empty: the platform's own chain). Append-only; written by
    `audit.record()` alone.

    `hash` = SHA-256(previous_hash || canonical JSON of the row): see `identity/audit.py`.
    """

    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="audit_events")
    sequence = models.BigIntegerField()
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=16)
    actor = models.CharField(max_length=64)
    action = models.CharField(max_length=64)
    target_kind = models.CharField(max_length=32)
    target = models.CharField(max_length=64)
    detail = models.JSONField(default=dict)
    previous_hash = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "sequence"], name="audit_sequence_is_unique", nulls_distinct=False
            )
        ]


class AuditHead(models.Model):
    """The end of a chain: its last sequence and hash. Its row lock makes writers queue, so the sequence has no gaps;
    and as it is kept apart from the chain, a chain whose last links were cut off is found out.
    """

    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="+")
    sequence = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant"], name="audit_head_is_one_a_chain", nulls_distinct=False)
        ]
