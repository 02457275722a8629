"""Sealed totals: what the usage records of closed months added up to. Made in SQL, written by `checks/sealing.py`."""

from django.db import models


class SealedMonth(models.Model):
    """The records whose ids were made in a month (UTC), added up, with a digest of all of them. Append-only."""

    month = models.DateField(primary_key=True)
    requests = models.BigIntegerField()
    cost_nano_eur = models.DecimalField(max_digits=30, decimal_places=0)
    uncharged_nano_eur = models.DecimalField(max_digits=30, decimal_places=0)
    digest = models.BinaryField()
    sealed_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "billing_sealed_month"
