"""Where the audit goes beside this installation: the operator's own collectors."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from identity.models.tenants import Tenant


class LogExport(models.Model):
    """A collector that every audit event is sent to. Set by `identity/log_exports.py`, served by
    `identity/audit_shipping.py`, which alone writes what is below `created_at`.

    `address`: `host:port` of a syslog receiver, or the URL of an OTLP collector. `trusted`: certificates (PEM) that
    alone may vouch for it; empty: those that the machine trusts. `sealed_authorization`: an OTLP collector's
    `Authorization`, sealed for `log_exports.secret_context`. `with_names`: also what is kept beside the chain.
    `busy_until`: a sender has it; `attempts`: failures in a row.
    """

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
    created_at = models.DateTimeField(auto_now_add=True)
    busy_until = models.DateTimeField(null=True)
    next_try_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    went_well_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    fault = models.CharField(max_length=32, blank=True)  # of `Fault`
    fault_status = models.PositiveSmallIntegerField(null=True)
    sent = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["protocol", "address"], name="log_export_is_one_an_address")]

    def __str__(self) -> str:
        return self.name

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
