"""What projects and keys are called in exports: as they are now, but in months that are over as they were when those
were first exported, so that the same export gives the same bytes whoever renamed what since.
"""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from billing.exports.rows.source import Scope
from billing.models import ExportName
from identity.models import ApiKey, Project, Tenant
from identity.service import read_service

Kind = ExportName.Kind


class Named(NamedTuple):
    """A name and what goes with it: a project's cost centre, a key's look-up, an organisation's slug, the service's
    name beside that of its seller.
    """

    name: str
    ref: str


_Place = tuple[str, date, int]
_SELLER = 0  # there is one


class Names:
    """The names of one batch of rows."""

    def __init__(
        self, scope: Scope, used: Iterable[tuple[date, int | None, int | None]], *, is_billed: bool = False
    ) -> None:
        """`used`: day, project and key of each row; `is_billed`: who sells to whom is wanted too."""
        self._tenant_id, self._is_final = scope.tenant_id, scope.is_final
        wanted: dict[_Place, None] = {}
        for day, project_id, key_id in used:
            month = self._month(day)
            ids = [(Kind.PROJECT, project_id), (Kind.KEY, key_id)]
            if is_billed:
                ids += [(Kind.TENANT, scope.tenant_id), (Kind.SELLER, _SELLER)]
            for kind, named_id in ids:
                if named_id is not None:
                    wanted[kind, month, named_id] = None
        self._found = _kept(scope.tenant_id, wanted) if scope.is_final else {}
        missing = [one for one in wanted if one not in self._found]
        self._found |= _as_they_are(scope.tenant_id, missing)
        if scope.is_final and missing:
            self._keep(missing)
            self._found = _kept(scope.tenant_id, wanted)

    def project(self, day: date, project_id: int) -> Named:
        """Of a row of that day."""
        return self._found[Kind.PROJECT, self._month(day), project_id]

    def key(self, day: date, key_id: int) -> Named:
        """Of a row of that day."""
        return self._found[Kind.KEY, self._month(day), key_id]

    def tenant(self, day: date) -> Named:
        """Who is billed for that day."""
        return self._found[Kind.TENANT, self._month(day), self._tenant_id]

    def seller(self, day: date) -> Named:
        """Who bills that day, and what for."""
        return self._found[Kind.SELLER, self._month(day), _SELLER]

    def _month(self, day: date) -> date:
        return day.replace(day=1) if self._is_final else date.min

    def _keep(self, missing: Iterable[_Place]) -> None:
        rows = [
            ExportName(
                tenant_id=self._tenant_id, month=month, kind=kind, named_id=named_id, name=found.name, ref=found.ref
            )
            for kind, month, named_id in missing
            if (found := self._found[kind, month, named_id])
        ]
        # Somebody may export the same month at once: the first one's names count.
        ExportName.objects.bulk_create(rows, ignore_conflicts=True)


def _kept(tenant_id: int, wanted: Iterable[_Place]) -> dict[_Place, Named]:
    months, ids = {month for _, month, _ in wanted}, {named_id for _, _, named_id in wanted}
    kept = ExportName.objects.filter(tenant=tenant_id, month__in=months, named_id__in=ids)
    return {(row.kind, row.month, row.named_id): Named(row.name, row.ref) for row in kept}


def _as_they_are(tenant_id: int, wanted: Iterable[_Place]) -> dict[_Place, Named]:
    ids = {kind: {named_id for one, _, named_id in wanted if one == kind} for kind in Kind}
    projects = Project.objects.filter(tenant=tenant_id, pk__in=ids[Kind.PROJECT]).values_list(
        "pk", "name", "cost_centre"
    )
    keys = ApiKey.objects.filter(tenant=tenant_id, pk__in=ids[Kind.KEY]).values_list("pk", "name", "lookup")
    now = {(str(Kind.PROJECT), pk): Named(name, cost_centre) for pk, name, cost_centre in projects}
    now |= {(str(Kind.KEY), pk): Named(name, lookup) for pk, name, lookup in keys}
    if ids[Kind.TENANT]:
        tenant, known = Tenant.objects.get(pk=tenant_id), read_service()
        now[str(Kind.TENANT), tenant_id] = Named(tenant.name, tenant.slug)
        now[str(Kind.SELLER), _SELLER] = Named(known.legal_name or known.title, known.title)
    return {(kind, month, named_id): now.get((kind, named_id), Named("", "")) for kind, month, named_id in wanted}
