"""What was agreed with a tenant beside its tier: values of its contract, and discounts and fixed lines of its bill."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q, Value
from django.utils.translation import gettext_lazy as _

from billing.models.prices import RateCard
from identity.models import Tenant

WHOLE = 1_000_000  # of a share, in millionths


class Agreement(models.Model):
    """Values of a tenant's contract that are not its tier's, from `starts_at` until `ends_at` (empty: no end).

    Its content never changes: another agreement follows, with a contract of its own. One that has not begun is planned;
    `begun_at` and `closed_at` say what became of it. `is_told` false: the ledger's functions let it begin or end, and
    the worker has not told anybody yet.

    rate_card: its own prices; empty: those of the tier
    is_cap_agreed: `monthly_cap_nano_eur` counts, empty for no cap; otherwise the tier's does
    limits: [{"what", "window", "amount"}] instead of the tier's of that kind; `amount` null: none of that kind
    model_ids: models that are shown to chosen ones and, by this, to the tenant
    availability_millionths: what is promised of the time, 990,000 for 99 %
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="agreements", db_index=False)
    rate_card = models.ForeignKey(
        RateCard, null=True, blank=True, on_delete=models.PROTECT, related_name="agreements", db_index=False
    )
    is_cap_agreed = models.BooleanField(default=False)
    monthly_cap_nano_eur = models.BigIntegerField(null=True, blank=True)
    limits = models.JSONField(default=list)
    model_ids = ArrayField(models.BigIntegerField(), default=list, db_default=Value("{}"), blank=True)
    availability_millionths = models.PositiveIntegerField(null=True, blank=True)
    support_class = models.CharField(max_length=100, blank=True)
    reference = models.CharField(max_length=200, blank=True)
    document_url = models.CharField(max_length=500, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    begun_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    is_told = models.BooleanField(default=True, db_default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant"], name="agreement_by_tenant"),
            models.Index(fields=["id"], condition=Q(closed_at__isnull=True), name="agreement_that_is_open"),
            models.Index(fields=["id"], condition=Q(is_told=False), name="agreement_to_be_told"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"],
                condition=Q(begun_at__isnull=False, closed_at__isnull=True),
                name="tenant_has_one_agreement_in_force",
            ),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="agreement_ends_after_it_starts"),
            models.CheckConstraint(
                condition=Q(monthly_cap_nano_eur__gte=0, monthly_cap_nano_eur__lte=10**18),
                name="agreed_cap_is_a_sane_amount",
            ),
        ]

    def __str__(self) -> str:
        return self.reference


class ContractTerm(models.Model):
    """A discount or a fixed line of a tenant's bill, for whole months: those from `first_month` to `last_month`, each
    given by its first day. Never changed once a month of it has begun but for its last month (`contracts/terms.py`).

    amount_nano_eur: of a fee, a service and a commitment
    share_millionths: of a percentage, and what a commitment gives in exchange
    steps: [{"above_nano_eur", "share_millionths"}], each on what of the usage lies above it and not above the next
    """

    class Kind(models.TextChoices):
        PERCENT = "percent", _("discount")
        STEPS = "steps", _("discount by volume")
        COMMITMENT = "commitment", _("committed spend")
        FEE = "fee", _("monthly fee")
        SERVICE = "service", _("one-off service")

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="contract_terms", db_index=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    description = models.CharField(max_length=200, blank=True)
    amount_nano_eur = models.BigIntegerField(null=True, blank=True)
    share_millionths = models.PositiveIntegerField(null=True, blank=True)
    steps = models.JSONField(default=list)
    first_month = models.DateField()
    last_month = models.DateField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["tenant", "first_month"], name="contract_term_by_tenant")]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount_nano_eur__gt=0, amount_nano_eur__lte=10**18), name="term_amount_is_a_sane_amount"
            ),
            models.CheckConstraint(condition=Q(share_millionths__lte=WHOLE), name="term_share_is_at_most_the_whole"),
            models.CheckConstraint(
                condition=Q(last_month__gte=F("first_month")), name="term_ends_in_or_after_its_first_month"
            ),
            models.CheckConstraint(
                condition=~Q(kind="commitment") | Q(last_month__isnull=False), name="commitment_has_a_period"
            ),
        ]

    def __str__(self) -> str:
        return self.description
