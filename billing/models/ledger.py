"""What inference writes. Made in SQL, written only by the functions in `billing/migrations/sql/`; here for reading."""

from django.db import models


class Incarnation(models.Model):
    """One life of a gateway process (I2). It beats every 5 s; fenced, none of its calls is accepted any more."""

    id = models.UUIDField(primary_key=True)
    number = models.BigIntegerField(unique=True)
    host = models.TextField()
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    fenced_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "billing_incarnation"


class Hold(models.Model):
    """Money reserved for a request under way. Working state: deleted when the request is settled.

    `description` holds what the usage record will say; `checkpoint` the usage that a running stream last reported.
    """

    request_id = models.UUIDField(primary_key=True)
    incarnation = models.UUIDField()
    tenant_id = models.BigIntegerField()
    project_id = models.BigIntegerField()
    key_id = models.BigIntegerField()
    model_id = models.BigIntegerField()
    price_version_id = models.BigIntegerField()
    amount_nano_eur = models.BigIntegerField()
    admitted_at = models.DateTimeField()
    description = models.JSONField()
    checkpoint = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "billing_hold"


class UsageRecord(models.Model):
    """The one row that describes a request (I2, I7). Append-only, partitioned by its UUIDv7.

    Quantities are units, money nano-EUR, prices nano-EUR per million units; the amounts of the meters add up to
    `cost_nano_eur + uncharged_nano_eur`.
    """

    request_id = models.UUIDField(primary_key=True)
    parent_id = models.UUIDField(null=True)
    tenant_id = models.BigIntegerField()
    project_id = models.BigIntegerField()
    key_id = models.BigIntegerField()
    owner = models.UUIDField(null=True)
    model_id = models.BigIntegerField()
    model = models.TextField()
    alias = models.TextField()
    pool = models.TextField()
    replica = models.TextField()
    node = models.TextField()
    site = models.TextField()
    endpoint = models.TextField()
    door = models.TextField()
    mode = models.TextField()
    contract_id = models.BigIntegerField()
    price_version_id = models.BigIntegerField()
    input_quantity = models.BigIntegerField()
    cached_quantity = models.BigIntegerField()
    output_quantity = models.BigIntegerField()
    reasoning_quantity = models.BigIntegerField()
    audio_ms_quantity = models.BigIntegerField()
    documents_quantity = models.BigIntegerField()
    images_quantity = models.BigIntegerField()
    input_nano_eur = models.BigIntegerField()
    cached_nano_eur = models.BigIntegerField()
    output_nano_eur = models.BigIntegerField()
    reasoning_nano_eur = models.BigIntegerField()
    audio_ms_nano_eur = models.BigIntegerField()
    documents_nano_eur = models.BigIntegerField()
    images_nano_eur = models.BigIntegerField()
    cost_nano_eur = models.BigIntegerField()
    uncharged_nano_eur = models.BigIntegerField()
    kwh_per_million_tokens = models.DecimalField(max_digits=9, decimal_places=3, null=True)
    status = models.TextField()
    http_status = models.SmallIntegerField()
    finish_reason = models.TextField()
    stream = models.BooleanField()
    max_tokens_asked = models.BigIntegerField(null=True)
    max_tokens_given = models.BigIntegerField(null=True)
    guardrail = models.TextField()
    label = models.TextField()
    ttft_ms = models.IntegerField(null=True)
    duration_ms = models.IntegerField()
    admitted_at = models.DateTimeField()
    settled_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "billing_usage_record"


class LedgerEntry(models.Model):
    """Money that moved outside a request: top-up, expiry, correction, refund, fee.

    Append-only, one a tenant and idempotency key.
    """

    class Kind(models.TextChoices):
        TOP_UP = "top_up"
        EXPIRY = "expiry"
        CORRECTION = "correction"
        REFUND = "refund"
        FEE = "fee"

    id = models.UUIDField(primary_key=True)
    tenant_id = models.BigIntegerField()
    kind = models.TextField(choices=Kind.choices)
    amount_nano_eur = models.BigIntegerField()
    request_id = models.UUIDField(null=True)
    reason = models.TextField()
    actor = models.TextField()
    idempotency_key = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "billing_ledger_entry"


class UsageHour(models.Model):
    """Usage records added up an hour (UTC): written in the transaction that writes the record."""

    pk = models.CompositePrimaryKey("hour", "tenant_id", "project_id", "key_id", "model_id", "mode")
    hour = models.DateTimeField()
    tenant_id = models.BigIntegerField()
    project_id = models.BigIntegerField()
    key_id = models.BigIntegerField()
    model_id = models.BigIntegerField()
    mode = models.TextField()
    requests = models.BigIntegerField()
    failed_requests = models.BigIntegerField()
    input_quantity = models.BigIntegerField()
    cached_quantity = models.BigIntegerField()
    output_quantity = models.BigIntegerField()
    reasoning_quantity = models.BigIntegerField()
    audio_ms_quantity = models.BigIntegerField()
    documents_quantity = models.BigIntegerField()
    images_quantity = models.BigIntegerField()
    cost_nano_eur = models.BigIntegerField()
    uncharged_nano_eur = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "billing_usage_hour"


class Refusal(models.Model):
    """One refused request of a known key; the last 1,000 a key are kept."""

    request_id = models.UUIDField(primary_key=True)
    tenant_id = models.BigIntegerField()
    project_id = models.BigIntegerField()
    key_id = models.BigIntegerField()
    at = models.DateTimeField()
    code = models.TextField()
    limit = models.TextField(db_column="limit_name")
    model = models.TextField()

    class Meta:
        managed = False
        db_table = "billing_refusal"


class RefusalCount(models.Model):
    """Refused requests counted a key, code and minute."""

    pk = models.CompositePrimaryKey("minute", "tenant_id", "project_id", "key_id", "code")
    minute = models.DateTimeField()
    tenant_id = models.BigIntegerField()
    project_id = models.BigIntegerField()
    key_id = models.BigIntegerField()
    code = models.TextField()
    refusals = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "billing_refusal_count"
