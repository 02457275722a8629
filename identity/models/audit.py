"""The audit chain, and what is kept beside it."""

from django.db import models

from identity.models.tenants import Tenant


class AuditEvent(models.Model):
    """One link of a tenant's audit chain (`tenant` empty: the platform's own chain). Append-only; written by
    `audit.record()` alone.

    `hash` = SHA-256(previous_hash || canonical JSON of the row): see `identity/audit.py`. `version` says which members
    are hashed: 2 has `door`, and in `names` the commitment of each part of `AuditName`; 1 came before these.
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
    version = models.PositiveSmallIntegerField(db_default=1)
    door = models.CharField(max_length=16, db_default="")
    names = models.JSONField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "sequence"], name="audit_sequence_is_unique", nulls_distinct=False
            )
        ]
        indexes = [models.Index(fields=["target", "tenant", "target_kind", "sequence"], name="audit_event_by_target")]


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


class AuditName(models.Model):
    """Names and addresses of one part of an event (`audit_names.Part`), of which the chain holds a salted hash only.

    Rows are added and, when the person whom they are about is erased, deleted; never changed. `person` is a pseudonym.
    No foreign key in the database: a link that is gone is found by the chain, not hidden by a rule of this table.
    """

    event = models.ForeignKey(AuditEvent, on_delete=models.PROTECT, related_name="known_as", db_constraint=False)
    part = models.CharField(max_length=16)
    person = models.UUIDField(null=True)
    salt = models.BinaryField(max_length=32)
    content = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["event", "part"], name="audit_name_is_one_a_part")]
        indexes = [models.Index(fields=["person"], name="audit_name_by_person")]


class AuditCheckpoint(models.Model):
    """A chain's hash at a sequence, signed by the installation (Ed25519): see `identity/audit_checkpoints.py`.
    Append-only.
    """

    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="+")
    sequence = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)
    at = models.DateTimeField()
    public_key = models.BinaryField(max_length=32)
    signature = models.BinaryField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "sequence"], name="audit_checkpoint_is_one_a_link", nulls_distinct=False
            )
        ]


class AuditVerification(models.Model):
    """What the last verification of a chain found. For display: who wants to know verifies again."""

    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    links = models.BigIntegerField()
    broken_sequence = models.BigIntegerField(null=True)
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant"], name="audit_verification_is_one_a_chain", nulls_distinct=False)
        ]


class AuditRefusalCount(models.Model):
    """How often somebody was refused in an hour: the first few are links of the chain, the rest become one link when
    the hour is over (`identity/audit_refusals.py`).
    """

    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="+")
    actor_kind = models.CharField(max_length=16)
    actor = models.CharField(max_length=64)
    hour = models.DateTimeField()
    count = models.IntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "actor_kind", "actor", "hour"],
                name="audit_refusals_are_counted_once",
                nulls_distinct=False,
            )
        ]
