"""Budgets that are raised for a time."""

from django.db import models


class BudgetRaise(models.Model):
    """A budget's limit is `raised_nano_eur` until an instant, then `base_nano_eur` again.

    `ended_at`: put in force by a gateway (`end_raise_v1`), or a change of the limit came first. `told_at`: when the
    worker told of an end that came by itself; of any other, the change tells. `actor`: who raised it, as the audit
    names them.
    """

    budget_id = models.BigIntegerField()
    base_nano_eur = models.BigIntegerField()
    raised_nano_eur = models.BigIntegerField()
    raised_until = models.DateTimeField()
    actor_kind = models.CharField(max_length=16, default="", db_default="")
    actor = models.CharField(max_length=64, default="", db_default="")
    made_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    told_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["raised_until"], condition=models.Q(ended_at__isnull=True), name="budget_raise_that_runs"
            ),
            models.Index(
                fields=["ended_at"],
                condition=models.Q(ended_at__isnull=False, told_at__isnull=True),
                name="budget_raise_to_be_told",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["budget_id"], condition=models.Q(ended_at__isnull=True), name="budget_has_one_raise"
            )
        ]
