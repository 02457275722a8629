"""Where a budget or a limit sits: on an organisation, on one of its projects or on a key."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from billing.models import Budget, Limit, Scope
from identity.models import ApiKey, Project, Tenant

Holder = Tenant | Project | ApiKey


class Source(StrEnum):
    """Who put it there: somebody, or the tier of the contract. Both stand side by side; the lower binds. CREDIT: it is
    the prepaid credit (`billing/credit/budget.py`), which follows from the ledger's entries.
    """

    SET = "set"
    TIER = "tier"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True)
class Place:
    """A holder as the ledger's tables name it."""

    tenant: Tenant
    scope: Scope
    scope_id: int

    @classmethod
    def of_row(cls, row: Budget | Limit) -> Self:
        """The place of a budget or a limit."""
        return cls(Tenant.objects.get(pk=row.tenant_id), Scope(row.scope), row.scope_id)

    def lock(self) -> None:
        """Make other changes of this tenant's policy wait until the transaction ends. Admissions do not wait."""
        Tenant.objects.select_for_update(no_key=True).get(pk=self.tenant.pk)


def place_of(holder: Holder) -> Place:
    """The place of an organisation, a project or a key."""
    match holder:
        case Tenant():
            return Place(holder, Scope.TENANT, holder.pk)
        case Project():
            return Place(holder.tenant, Scope.PROJECT, holder.pk)
        case ApiKey():
            return Place(holder.tenant, Scope.KEY, holder.pk)
