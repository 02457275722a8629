"""The price book and the offers: rate cards, dated prices, tiers, contracts."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from identity.models import Tenant
from models_catalog.models import LanguageModel


class Mode(models.TextChoices):
    """How a request is processed: it decides the price."""

    STANDARD = "standard", _("standard")
    BATCH = "batch", _("batch")


class Meter(models.TextChoices):
    """What is counted. Meters never overlap (I4): a token is input or cached, output or reasoning."""

    INPUT = "input", _("input tokens")
    CACHED = "cached", _("cached input tokens")
    OUTPUT = "output", _("output tokens")
    REASONING = "reasoning", _("reasoning tokens")
    AUDIO_MS = "audio_ms", _("audio, milliseconds")
    DOCUMENTS = "documents", _("documents")
    IMAGES = "images", _("images")


class RateCard(models.Model):
    """A named price list."""

    name = models.CharField(max_length=100, unique=True)
    is_reference = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_reference"], condition=models.Q(is_reference=True), name="one_rate_card_is_the_reference"
            )
        ]

    def __str__(self) -> str:
        return self.name


class PriceVersion(models.Model):
    """The prices of a model in a mode on a rate card from `valid_from` until the next version's.

    Never changed, only followed; one that has not begun may be withdrawn (`prices/changes.py`). `reason`: why it
    was changed, in words for operators; a rise at short notice has one. `audio_by_started_minute`: each request's audio
    is billed as whole minutes, the last one begun (`billing/pricing.py: billed`).
    """

    rate_card = models.ForeignKey(RateCard, on_delete=models.PROTECT, related_name="versions")
    model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, related_name="price_versions")
    mode = models.CharField(max_length=16, choices=Mode.choices, default=Mode.STANDARD)
    valid_from = models.DateTimeField()
    reason = models.CharField(max_length=300, blank=True, default="", db_default="")
    audio_by_started_minute = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rate_card", "model", "mode", "valid_from"], name="price_version_starts_at_one_instant"
            )
        ]


class WithdrawnPrice(models.Model):
    """A price version that was withdrawn before it began, and so left the price book. Made and written in SQL only.

    prices: nano-EUR per million units by meter
    """

    version_id = models.BigIntegerField(primary_key=True)
    rate_card_id = models.BigIntegerField()
    model_id = models.BigIntegerField()
    mode = models.CharField(max_length=16)
    valid_from = models.DateTimeField()
    prices = models.JSONField()
    withdrawn_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "billing_withdrawn_price"


class MeterPrice(models.Model):
    """A price: nano-EUR per million units of the meter."""

    version = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="prices")
    meter = models.CharField(max_length=16, choices=Meter.choices)
    nano_eur_per_million = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["version", "meter"], name="meter_has_one_price_in_a_version"),
            models.CheckConstraint(
                condition=models.Q(nano_eur_per_million__gte=0, nano_eur_per_million__lte=10**15),
                name="price_is_between_0_and_a_million_euros_a_million",
            ),
        ]


class Tier(models.Model):
    """An offer. `monthly_cap_nano_eur` empty: no cap. `limits` is data: [{"what", "window", "amount"}].

    `rate_card`: of the contracts that start on it; empty: the reference list. `version` rises with the limits and the
    cap: a contract has those of its `tier_version`. `withdrawn_at`: no contract starts on it since. What an operator
    made or changed (`is_operators`), the file of the release leaves alone. Verbs: `contracts/tier_changes.py`.
    """

    code = models.SlugField(max_length=32, unique=True)
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=500, blank=True, default="", db_default="")
    monthly_cap_nano_eur = models.BigIntegerField(null=True, blank=True)
    prepaid_nano_eur = models.BigIntegerField(null=True, blank=True)
    limits = models.JSONField(default=list)
    by_agreement = models.BooleanField(default=False)
    rate_card = models.ForeignKey(
        RateCard, null=True, blank=True, on_delete=models.PROTECT, related_name="tiers", db_index=False
    )
    version = models.PositiveIntegerField(default=1, db_default=1)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    is_operators = models.BooleanField(default=False, db_default=False)

    def __str__(self) -> str:
        return self.name


class TierChoice(models.Model):
    """A tier that an owner chose and that begins later. Open until it began, was withdrawn or another contract came."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="tier_choices", db_index=False)
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="choices", db_index=False)
    starts_at = models.DateTimeField()
    chosen_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"], condition=models.Q(closed_at__isnull=True), name="tenant_has_one_open_tier_choice"
            )
        ]


class Contract(models.Model):
    """What a tenant agreed: a tier, a rate card, a time. Exactly one is in force (`ends_at` empty).

    `tier_version`: of the tier when its limits and cap were last brought. `agreement`: what is not the tier's.
    `turns_at`: when an agreement begins or ends, from which on no request is admitted under this contract.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="contracts")
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="contracts")
    rate_card = models.ForeignKey(RateCard, on_delete=models.PROTECT, related_name="contracts")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    tier_version = models.PositiveIntegerField(default=1, db_default=1)
    agreement = models.ForeignKey(
        "billing.Agreement", null=True, blank=True, on_delete=models.PROTECT, related_name="contracts", db_index=False
    )
    turns_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"], condition=models.Q(ends_at__isnull=True), name="tenant_has_one_contract_in_force"
            )
        ]
