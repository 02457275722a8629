"""What the operator says of the installation as a whole."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _


class Service(models.Model):
    """The one row of it, made by the first change (`identity/service.py`). What is empty has not been said.

    languages: codes that people may choose from; empty: all that the pages exist in
    usage_months: whole months for which usage records stay after their own; null: as the environment says
    grams_co2e_per_kwh: what a kilowatt-hour of the house's electricity emits; null: not said
    logo: the picture's bytes; `logo_digest` is their SHA-256 in hexadecimal, by which browsers keep it
    """

    class Trade(models.TextChoices):
        SELLER = "seller", _("Seller")
        CHARGEBACK = "chargeback", _("Chargeback")

    is_the_one = models.BooleanField(default=True, unique=True)
    name = models.CharField(max_length=60, blank=True)
    support_email = models.CharField(max_length=254, blank=True)
    support_phone = models.CharField(max_length=100, blank=True)
    support_url = models.CharField(max_length=500, blank=True)
    trade = models.CharField(max_length=16, choices=Trade.choices, blank=True)
    legal_name = models.CharField(max_length=200, blank=True)
    registration_number = models.CharField(max_length=64, blank=True)
    vat_number = models.CharField(max_length=32, blank=True)
    postal_address = models.CharField(max_length=500, blank=True)
    country = models.CharField(max_length=2, blank=True)
    languages = ArrayField(models.CharField(max_length=8), default=list, blank=True)
    default_language = models.CharField(max_length=8, default="en")
    usage_months = models.PositiveSmallIntegerField(null=True, blank=True)
    grams_co2e_per_kwh = models.PositiveSmallIntegerField(null=True, blank=True)
    logo = models.BinaryField(null=True, blank=True)
    logo_type = models.CharField(max_length=16, blank=True)
    logo_digest = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(is_the_one=True), name="service_is_the_only_one"),
            models.CheckConstraint(
                condition=models.Q(trade__in=["", "seller", "chargeback"]), name="service_trade_is_a_known_one"
            ),
        ]
