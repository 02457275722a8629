"""Who answers for which budget. Budgets are billing's; who leaves hands them over here, with everything else."""

from django.db import models

from identity.models.keys import ApiKey
from identity.models.people import Person
from identity.models.tenants import Project, Tenant


class BudgetDuty(models.Model):
    """A member answers for a budget: of the project or of the key, where there is one, else of the whole tenant.

    It counts as long as the person is a member who sees what the budget is on (`identity/budget_duties.py`).
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    budget_id = models.BigIntegerField(unique=True)
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    project = models.ForeignKey(Project, null=True, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.ForeignKey(ApiKey, null=True, on_delete=models.CASCADE, related_name="+", db_index=False)

    class Meta:
        indexes = [models.Index(fields=["key"], name="duty_by_key", condition=models.Q(key__isnull=False))]
