"""Exports: what somebody asked to have as a file, and the parts of the file. Written by `billing/exports/exports.py`,
`billing/exports/run.py` and `billing/exports/schedules.py`.
"""

from uuid import uuid4

from django.db import models

from identity.models import Person, Tenant


class Export(models.Model):
    """A file that is made in the background, part by part.

    `[since, until)` is the period, from the first to the last day of `time_zone`. The file has what was settled until
    `cut_at`; `after_xid`: it is begun when the transactions before this one have ended, so that nothing commits behind
    it. `is_final`: the period was over and none of its requests under way, so that the file would be the same for ever.
    `lease` is the worker's that writes it now, until `lease_until`; `cursor`, `format_state`: where it goes on.
    `tenant` is null for one of all tenants, which those who bill them asked for: its kinds are its own, so that a
    worker of a release that does not know them writes nothing.
    """

    class Kind(models.TextChoices):
        REQUESTS = "requests"
        DAYS = "days"
        LEDGER = "ledger"
        FOCUS = "focus"
        ALL_DAYS = "all_days"
        ALL_LEDGER = "all_ledger"
        ALL_FOCUS = "all_focus"

    class Format(models.TextChoices):
        CSV = "csv"
        XLSX = "xlsx"
        JSONL = "jsonl"
        PARQUET = "parquet"

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"
        EXPIRED = "expired"

    class Fault(models.TextChoices):
        NONE = ""
        TOO_MANY_ROWS = "too_many_rows"
        NO_ROOM = "no_room"
        NOT_KEPT = "not_kept"
        BROKEN = "broken"
        TOO_SLOW = "too_slow"

    public_id = models.UUIDField(unique=True, default=uuid4)
    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    format = models.CharField(max_length=16, choices=Format.choices)
    first_day = models.DateField()
    last_day = models.DateField()
    time_zone = models.CharField(max_length=64)
    since = models.DateTimeField()
    until = models.DateTimeField()
    project_id = models.BigIntegerField(null=True)
    key_id = models.BigIntegerField(null=True)
    model = models.CharField(max_length=200, blank=True)
    actor_kind = models.CharField(max_length=16)
    actor = models.CharField(max_length=64)
    person = models.ForeignKey(Person, null=True, on_delete=models.SET_NULL, related_name="+")
    is_scheduled = models.BooleanField(default=False)
    cut_at = models.DateTimeField()
    after_xid = models.BigIntegerField()
    is_final = models.BooleanField(default=False)
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    fault = models.CharField(max_length=16, choices=Fault.choices, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    served_at = models.DateTimeField(null=True)
    cursor = models.JSONField(default=list)
    format_state = models.JSONField(default=dict)
    is_written = models.BooleanField(default=False)
    parts_count = models.PositiveIntegerField(default=0)
    percent = models.PositiveSmallIntegerField(default=0)
    rows = models.BigIntegerField(default=0)
    total_nano_eur = models.DecimalField(max_digits=30, decimal_places=0, default=0)
    size_bytes = models.BigIntegerField(default=0)
    stored_bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    began_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(since__lt=models.F("until")), name="export_period_has_a_length"),
            models.CheckConstraint(
                condition=models.Q(tenant__isnull=True, kind__startswith="all_")
                | (models.Q(tenant__isnull=False) & ~models.Q(kind__startswith="all_")),
                name="export_of_all_has_no_tenant",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="export_by_tenant"),
            models.Index(fields=["served_at"], condition=models.Q(state__in=["waiting", "running"]), name="export_due"),
        ]

    @property
    def content(self) -> str:
        """What its rows are, whoever's they are."""
        return self.kind.removeprefix("all_")

    @property
    def is_open(self) -> bool:
        """Whether it is still being made."""
        return self.state in (self.State.WAITING, self.State.RUNNING)

    @property
    def amount_nano_eur(self) -> int:
        """What its rows come to."""
        return int(self.total_nano_eur)

    @property
    def file_name(self) -> str:
        """What it is saved as."""
        whose = self.tenant.slug if self.tenant else "all-organisations"
        return f"{whose}-{self.content}-{self.first_day}-{self.last_day}.{self.format}"


class ExportPart(models.Model):
    """A piece of an export's file, compressed with zlib. `note` is what the file's end has to say of it."""

    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="parts", db_index=False)
    number = models.PositiveIntegerField()
    content = models.BinaryField()
    note = models.JSONField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["export", "number"], name="export_part_is_written_once")]


class ExportName(models.Model):
    """What a project or key, or who bills whom, was called when a month that is over was first exported: later exports
    say the same.
    """

    class Kind(models.TextChoices):
        PROJECT = "project"
        KEY = "key"
        TENANT = "tenant"
        SELLER = "seller"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    month = models.DateField()
    kind = models.CharField(max_length=8, choices=Kind.choices)
    named_id = models.BigIntegerField()
    name = models.CharField(max_length=200)
    ref = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "month", "kind", "named_id"], name="export_name_is_said_once")
        ]


class ExportSchedule(models.Model):
    """An export that is made by itself of every month, once it is over. `next_month`: the first day of the next one.
    `tenant` is null for one of all tenants, as of an `Export`.
    """

    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="export_schedules")
    kind = models.CharField(max_length=16, choices=Export.Kind.choices)
    format = models.CharField(max_length=16, choices=Export.Format.choices)
    next_month = models.DateField()
    actor_kind = models.CharField(max_length=16)
    actor = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "kind", "format"], name="export_schedule_is_made_once"),
            models.UniqueConstraint(
                fields=["kind", "format"],
                condition=models.Q(tenant__isnull=True),
                name="export_schedule_of_all_is_made_once",
            ),
            models.CheckConstraint(
                condition=models.Q(tenant__isnull=True, kind__startswith="all_")
                | (models.Q(tenant__isnull=False) & ~models.Q(kind__startswith="all_")),
                name="export_schedule_of_all_has_no_tenant",
            ),
        ]

    @property
    def content(self) -> str:
        """What the rows of its exports are, whoever's they are."""
        return self.kind.removeprefix("all_")
