"""Where the audit and the processes' logs go beside this installation: the operator's own collectors."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from identity.models.tenants import Tenant


class LogExport(models.Model):
    """A collector that every audit event is sent to, or what the processes log, or both. Set by
    `identity/log_exports.py`, served by `identity/shipping.py`, which alone writes what is below `created_at`.

    `address`: `host:port` of a syslog receiver, or the URL of an OTLP collector. `trusted`: certificates (PEM) that
    alone may vouch for it; empty: those that the machine trusts. `sealed_authorization`: an OTLP collector's
    `Authorization`, sealed for `shipping.secret_context`. `with_names`: also what is kept beside the chain.
    `logs_from`: only lines that were logged since; null: all that there are. `busy_until`: a sender has it; `attempts`:
    failures in a row. `sent` counts events; `lines_dropped` what was gone before it could be sent.
    """

    class Content(models.TextChoices):
        AUDIT = "audit", _("the audit")
        LOGS = "logs", _("what the processes log")
        BOTH = "both", _("both")

    class Protocol(models.TextChoices):
        SYSLOG_TLS = "syslog_tls", _("syslog over TLS")
        SYSLOG_TCP = "syslog_tcp", _("syslog over TCP, unencrypted")
        OTLP = "otlp", _("OTLP over HTTP")

    class Fault(models.TextChoices):
        """Why an attempt failed, in words for people."""

        NONE = "", ""
        UNREACHABLE = "unreachable", _("The receiver could not be reached.")
        NO_TLS = "tls", _("The receiver could not prove its name (TLS).")
        TOO_SLOW = "timed_out", _("The receiver took longer than 15 seconds.")
        REFUSED_ADDRESS = "refused_address", _("The address is none that we send to.")
        STATUS = "status", _("The receiver did not accept it: its answer was not a success.")
        RECORDS = "records", _("The receiver took the records, but says that it dropped some.")
        SECRET = "secret", _("The stored authorization could not be opened. Enter it again.")

    name = models.CharField(max_length=200)
    protocol = models.CharField(max_length=16, choices=Protocol.choices)
    address = models.CharField(max_length=500)
    trusted = models.TextField(blank=True)
    sealed_authorization = models.BinaryField(null=True)
    with_names = models.BooleanField(default=False)
    content = models.CharField(max_length=8, choices=Content.choices, default=Content.AUDIT, db_default="audit")
    logs_from = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    busy_until = models.DateTimeField(null=True)
    next_try_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    went_well_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    fault = models.CharField(max_length=32, blank=True)  # of `Fault`
    fault_status = models.PositiveSmallIntegerField(null=True)
    sent = models.BigIntegerField(default=0)
    lines_sent = models.BigIntegerField(default=0, db_default=0)
    lines_dropped = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["protocol", "address"], name="log_export_is_one_an_address")]

    def __str__(self) -> str:
        return self.name

    @property
    def has_audit(self) -> bool:
        """Whether it gets the audit's events."""
        return self.content != self.Content.LOGS

    @property
    def has_logs(self) -> bool:
        """Whether it gets what the processes log."""
        return self.content != self.Content.AUDIT

    @property
    def fault_label(self) -> str:
        """Why the last attempt that failed did, in the reader's language."""
        return str(self.Fault(self.fault).label)


class ExportCursor(models.Model):
    """How far a chain was sent to a collector: everything up to `sequence`."""

    export = models.ForeignKey(LogExport, on_delete=models.CASCADE, related_name="cursors")
    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="+")
    sequence = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["export", "tenant"], name="export_cursor_is_one_a_chain", nulls_distinct=False
            )
        ]


class SpoolCursor(models.Model):
    """How far a machine's spool of log lines was sent to a collector: see `identity/log_spool.py: Position`."""

    export = models.ForeignKey(LogExport, on_delete=models.CASCADE, related_name="spool_cursors")
    spool = models.UUIDField()
    segment = models.BigIntegerField()
    offset = models.BigIntegerField()
    lines = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["export", "spool"], name="spool_cursor_is_one_a_spool")]
