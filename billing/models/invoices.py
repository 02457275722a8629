"""What was issued, and what was paid of it. Append-only, as the ledger (I7): the database refuses every change."""

from uuid import uuid4

from django.db import models

from billing.models.closings import Closing, LineColumns
from identity.models import Tenant


class InvoiceSeries(models.Model):
    """A series of numbers without gaps: `last` moves on in the transaction that issues, and back where that fails."""

    code = models.CharField(max_length=32, primary_key=True)
    last = models.BigIntegerField(default=0)


class Invoice(models.Model):
    """An invoice, a credit note or, inside one organisation, a statement.

    number: of its series; a statement's is a reference and of no series
    month: the first day of the month that was closed; closing: of which closing; a credit note has none
    corrects: the invoice that a credit note takes back, and reason why
    contents: canonical JSON (`billing/invoices/document/contents.py`), sha256 of it in hexadecimal
    exact_nano_eur: the exact sum of its lines, before VAT; sums in cents are what is paid
    actor: who issued it, as the audit chain names who acts
    paid_cents, credited_cents: what came for it and what credit notes took back, where `with_payments` read it
    """

    paid_cents: int
    credited_cents: int

    class Kind(models.TextChoices):
        INVOICE = "invoice"
        CREDIT_NOTE = "credit_note"
        STATEMENT = "statement"

    public_id = models.UUIDField(unique=True, default=uuid4)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="invoices", db_index=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    series = models.CharField(max_length=32, blank=True)
    number = models.CharField(max_length=120, unique=True)
    month = models.DateField()
    closing = models.OneToOneField(Closing, null=True, on_delete=models.PROTECT, related_name="invoice")
    corrects = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="credit_notes")
    reason = models.CharField(max_length=500, blank=True)
    issued_at = models.DateTimeField()
    issued_on = models.DateField()
    due_on = models.DateField(null=True)
    line_count = models.PositiveIntegerField()
    exact_nano_eur = models.BigIntegerField()
    net_cents = models.BigIntegerField()
    tax_cents = models.BigIntegerField()
    gross_cents = models.BigIntegerField()
    prepaid_cents = models.BigIntegerField()
    due_cents = models.BigIntegerField()
    contents = models.TextField()
    sha256 = models.CharField(max_length=64)
    actor = models.CharField(max_length=64)

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-issued_at"], name="invoice_by_tenant"),
            models.Index(fields=["month"], name="invoice_by_month"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=["invoice", "credit_note", "statement"]), name="invoice_kind_is_a_known_one"
            ),
            models.CheckConstraint(
                condition=models.Q(gross_cents=models.F("net_cents") + models.F("tax_cents")), name="invoice_adds_up"
            ),
            models.CheckConstraint(
                condition=models.Q(due_cents=models.F("gross_cents") - models.F("prepaid_cents")),
                name="invoice_due_adds_up",
            ),
        ]

    def __str__(self) -> str:
        return self.number


class InvoiceLine(LineColumns):
    """A line of an invoice. `credits`: the line that a credit note's takes back."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines", db_index=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    credits = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="credited_by")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="invoice_line_has_one_place"),
            models.UniqueConstraint(
                fields=["entry_id"], condition=models.Q(entry_id__isnull=False), name="ledger_entry_is_invoiced_once"
            ),
        ]
        indexes = [models.Index(fields=["tenant", "covers_month"], name="invoice_line_by_month")]


class InvoiceFile(models.Model):
    """A file made of an invoice's contents, once. sha256: of its bytes, in hexadecimal."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="files", db_index=False)
    media_type = models.CharField(max_length=100)
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["invoice", "media_type"], name="invoice_file_is_made_once")]


class Payment(models.Model):
    """Money that came for an invoice. One that was wrong is taken back by a negative one.

    reference: the bank's; the same one again for the same invoice is the same payment
    source: "hand" or "file"
    """

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="payments", db_index=False)
    amount_cents = models.BigIntegerField()
    paid_on = models.DateField()
    reference = models.CharField(max_length=140)
    source = models.CharField(max_length=8)
    note = models.CharField(max_length=300, blank=True)
    actor = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "reference"], name="payment_is_recorded_once"),
            models.CheckConstraint(condition=~models.Q(amount_cents=0), name="payment_is_some_money"),
        ]
