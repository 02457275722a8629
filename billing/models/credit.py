"""Prepaid credit: what was ordered, what was paid, and its rules. The ledger's entries are the truth about the money
(`billing/credit/moves.py`); amounts are nano-EUR without VAT, as prices are.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Value
from django.utils.translation import gettext_lazy as _

from billing.models.prices import Tier
from identity.models import Person, Tenant


class CreditOrder(models.Model):
    """A top-up that somebody of the tenant ordered. `tier`: begins when it is paid. `closed_at`: paid or cancelled."""

    class State(models.TextChoices):
        OPEN = "open", _("open")
        PAID = "paid", _("paid")
        CANCELLED = "cancelled", _("cancelled")

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="credit_orders")
    amount_nano_eur = models.BigIntegerField()
    purchase_order = models.CharField(max_length=64, blank=True, default="", db_default="")
    tier = models.ForeignKey(Tier, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    ordered_by = models.ForeignKey(
        Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    ordered_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True, default="", db_default="")

    class Meta:
        indexes = [
            models.Index(fields=["ordered_at"], condition=models.Q(state="open"), name="credit_order_that_is_open")
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(amount_nano_eur__gt=0, amount_nano_eur__lte=10**18), name="credit_order_is_an_amount"
            ),
            models.UniqueConstraint(
                fields=["tenant"],
                condition=models.Q(state="open", tier__isnull=False),
                name="tenant_has_one_open_order_of_a_tier",
            ),
        ]

    @property
    def transfer_reference(self) -> str:
        """What whoever pays names at the bank, so that the payment finds its order."""
        return f"CREDIT-{self.pk}"


class CreditPayment(models.Model):
    """A payment that the operator recorded: what the ledger's entry does not say. Never changed."""

    entry_id = models.UUIDField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="credit_payments")
    order = models.OneToOneField(CreditOrder, null=True, blank=True, on_delete=models.PROTECT, related_name="payment")
    amount_nano_eur = models.BigIntegerField()
    received_on = models.DateField()
    reference = models.CharField(max_length=100, blank=True, default="", db_default="")
    recorded_at = models.DateTimeField(auto_now_add=True)


class CreditRule(models.Model):
    """How long credit of a tier lasts: months after it was recorded, to the end of that day; empty: for ever.

    `tier` empty: of the tiers that say nothing.
    """

    tier = models.ForeignKey(
        Tier, null=True, blank=True, on_delete=models.PROTECT, related_name="credit_rules", db_index=False
    )
    months = models.PositiveSmallIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tier"], nulls_distinct=False, name="credit_has_one_rule_a_tier")
        ]


class CreditAlerts(models.Model):
    """At what balance a tenant's people are told: shares of the last top-up, or an amount. No row: 20 and 5 percent."""

    tenant = models.OneToOneField(Tenant, on_delete=models.PROTECT, related_name="+", primary_key=True)
    percents = ArrayField(models.PositiveSmallIntegerField(), db_default=Value("{20,5}"))
    amount_nano_eur = models.BigIntegerField(null=True, blank=True)
