"""What an invoice is made with: billing settings, rates of VAT, who a tenant is in law, closings of months.

Written by `billing/invoices/settings.py`, `billing/invoices/legal_parties.py` and `billing/closing/issuing.py`.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Value

from identity.models import Tenant


class BillingSettings(models.Model):
    """How the seller bills; the one row of it, made by the first change. What is empty has not been said.

    legal_mention: form, capital and register of the company, in a sentence
    payment_days: from issue to the day by which an invoice is to be paid
    late_payment: penalties for late payment; recovery: the fixed sum for recovery costs; early_payment: discount
    invoice_prefix, credit_note_prefix: before the year and the number, each a series of its own
    is_vat_exempt: by the scheme for small enterprises; exemption_text: what the law wants said of it
    accounts: journal and accounts of the export for an ERP, by the names of `billing/invoices/journal.py`
    rise_notice_days: from the day on which a price's rise is told to that on which it begins; less asks for a reason
    """

    class CreditInvoiced(models.TextChoices):
        AT_USE = "use"
        AT_TOP_UP = "top_up"

    is_the_one = models.BooleanField(default=True, unique=True)
    iban = models.CharField(max_length=34, blank=True)
    bic = models.CharField(max_length=11, blank=True)
    account_name = models.CharField(max_length=200, blank=True)
    legal_mention = models.CharField(max_length=300, blank=True)
    payment_days = models.PositiveSmallIntegerField(default=30)
    late_payment = models.CharField(max_length=500, blank=True)
    recovery = models.CharField(max_length=500, blank=True)
    early_payment = models.CharField(max_length=500, blank=True)
    invoice_prefix = models.CharField(max_length=12, default="F")
    credit_note_prefix = models.CharField(max_length=12, default="A")
    is_vat_exempt = models.BooleanField(default=False)
    exemption_text = models.CharField(max_length=300, blank=True)
    needs_two_people = models.BooleanField(default=False)
    credit_invoiced = models.CharField(max_length=8, choices=CreditInvoiced.choices, default=CreditInvoiced.AT_USE)
    accounts = models.JSONField(default=dict)
    rise_notice_days = models.PositiveSmallIntegerField(default=30, db_default=30)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(is_the_one=True), name="billing_settings_are_the_only_ones"),
            models.CheckConstraint(
                condition=models.Q(credit_invoiced__in=["use", "top_up"]), name="credit_is_invoiced_at_one_of_two"
            ),
        ]


class VatRate(models.Model):
    """A country's standard rate from a day on, in hundredths of a percent, where the operator says another one than
    `billing/invoices/vat_rates.py` ships.
    """

    country = models.CharField(max_length=2)
    basis_points = models.PositiveSmallIntegerField()
    valid_from = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["country", "valid_from"], name="vat_rate_begins_once"),
            models.CheckConstraint(condition=models.Q(basis_points__lte=5000), name="vat_rate_is_at_most_half"),
        ]


class PartyColumns(models.Model):
    """Who a buyer is in law. What is empty has not been said.

    language: of its invoices; "": that of the house
    """

    legal_name = models.CharField(max_length=200, blank=True)
    registration_number = models.CharField(max_length=64, blank=True)
    vat_number = models.CharField(max_length=16, blank=True)
    address = models.CharField(max_length=300, blank=True)
    postcode = models.CharField(max_length=16, blank=True)
    city = models.CharField(max_length=100, blank=True)
    country = models.CharField(max_length=2, blank=True)
    billing_email = models.CharField(max_length=254, blank=True)
    buyer_reference = models.CharField(max_length=100, blank=True)
    contract_reference = models.CharField(max_length=100, blank=True)
    purchase_order = models.CharField(max_length=100, blank=True)
    language = models.CharField(max_length=8, blank=True)

    class Meta:
        abstract = True


class LegalParty(PartyColumns):
    """Who a tenant is in law: whom its invoices are made out to."""

    tenant = models.OneToOneField(Tenant, on_delete=models.PROTECT, related_name="legal_party")


class Closing(models.Model):
    """The closing of a tenant's month, from its first preview on. Issued, nothing of it changes any more (a trigger).

    month: its first day, by the tenant's time zone
    `[starts_at, ends_at)`: which requests it has, by the whole hour (UTC) in which they were admitted
    asked_at: a preview is to be made; lease_until: a worker is at it
    used_nano_eur: what the ledger's sums said of the period when the lines were made
    credit_nano_eur: what of that was paid out of prepaid credit; None: closed before this was kept
    credit_returned_nano_eur: what went back to the credit when it was issued, as the bill had no room for it
    exact_nano_eur, net_cents: of all lines, before VAT; lines: how many
    standing: a hash of what the lines were made of, so that a change since is seen
    fault: why no lines could be made; faults: what the document would lack, in sentences
    approvals: who approved it, as the audit chain names who acts: "operator:<pseudonym>"
    """

    class State(models.TextChoices):
        OPEN = "open"
        PREVIEWED = "previewed"
        APPROVED = "approved"
        ISSUED = "issued"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="closings", db_index=False)
    month = models.DateField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    starts_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    asked_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    previewed_at = models.DateTimeField(null=True)
    used_nano_eur = models.BigIntegerField(default=0)
    credit_nano_eur = models.BigIntegerField(null=True)
    credit_returned_nano_eur = models.BigIntegerField(default=0, db_default=0)
    exact_nano_eur = models.BigIntegerField(default=0)
    net_cents = models.BigIntegerField(default=0)
    lines = models.PositiveIntegerField(default=0)
    standing = models.CharField(max_length=64, blank=True)
    fault = models.CharField(max_length=500, blank=True)
    faults = models.JSONField(default=list)
    approvals = ArrayField(models.CharField(max_length=64), default=list, db_default=Value("{}"))
    issued_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "month"], name="month_of_a_tenant_is_closed_once"),
            models.CheckConstraint(
                condition=models.Q(state__in=["open", "previewed", "approved", "issued"]),
                name="closing_state_is_a_known_one",
            ),
        ]
        indexes = [
            models.Index(fields=["month"], name="closing_by_month"),
            models.Index(fields=["asked_at"], name="closing_asked", condition=models.Q(asked_at__isnull=False)),
        ]


class LineColumns(models.Model):
    """What a line of a draft and one of an invoice have in common.

    covers_month: the first day of the month that it is of: earlier than the invoice's for late usage
    kind: see `Kind`; USAGE is of a project, model, mode, price version and meter
    quantity: units of the meter; exact_nano_eur: the ledger's own sum; net_cents: the same, rounded half-even (I4)
    price_nano_eur: of a million units; null where the line has none
    text: what an entry of the ledger or a term of the contract says of itself; explained: how that came about
    entry_id: the entry of the ledger that the line is of
    term_key: of a term that becomes an entry when the closing is issued
    """

    class Kind(models.TextChoices):
        USAGE = "usage"
        UNCHARGED = "uncharged"
        ENTRY = "entry"
        TERM = "term"
        TOP_UP = "top_up"
        CREDIT = "credit"

    position = models.PositiveIntegerField()
    covers_month = models.DateField()
    kind = models.CharField(max_length=16, choices=Kind.choices)
    project_id = models.BigIntegerField(null=True)
    project = models.CharField(max_length=200, blank=True)
    cost_centre = models.CharField(max_length=64, blank=True)
    purchase_order = models.CharField(max_length=100, blank=True)
    model_id = models.BigIntegerField(null=True)
    model = models.CharField(max_length=200, blank=True)
    mode = models.CharField(max_length=16, blank=True)
    price_version_id = models.BigIntegerField(null=True)
    meter = models.CharField(max_length=16, blank=True)
    quantity = models.BigIntegerField(default=0)
    price_nano_eur = models.BigIntegerField(null=True)
    exact_nano_eur = models.BigIntegerField()
    net_cents = models.BigIntegerField()
    text = models.CharField(max_length=500, blank=True)
    explained = models.CharField(max_length=500, blank=True)
    entry_id = models.UUIDField(null=True)
    entry_kind = models.CharField(max_length=16, blank=True)
    term_key = models.CharField(max_length=200, blank=True)

    class Meta:
        abstract = True


class DraftLine(LineColumns):
    """A line as it will be on the invoice. Made anew by each preview, gone when the closing is issued."""

    closing = models.ForeignKey(Closing, on_delete=models.PROTECT, related_name="drafts", db_index=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["closing", "position"], name="draft_line_has_one_place")]
