"""How the nightly checks of the ledger went."""

from django.db import models


class LedgerCheck(models.Model):
    """One adding up of the whole ledger (`checks/ledger_checks.py`). `ended_at` null: it runs, or was broken off.

    `differences`: how many were found; `first`: the first of them, as `verify_ledger` says it.
    """

    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    differences = models.PositiveIntegerField(default=0)
    first = models.CharField(max_length=500, blank=True)

    class Meta:
        indexes = [models.Index(fields=["-began_at"], name="ledger_check_newest")]

    def __str__(self) -> str:
        return f"{self.began_at:%Y-%m-%d}: {self.differences}"
