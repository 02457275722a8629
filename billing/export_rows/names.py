"""What projects and keys are called in exports: as they are now, but in months that are over as they were when those
were first exported, so that the same export gives the same bytes whoever renamed what since.
"""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from billing.export_rows.source import Scope
from billing.models import ExportName
from identity.models import ApiKey, Project

Kind = ExportName.Kind


class Named(NamedTuple):
    """A name and what goes with it: a project's cost centre, a key's look-up."""

    name: str
    ref: str


class Names:
    """The names of one batch of rows."""

    def __init__(self, scope: Scope, used: Iterable[tuple[date, int, int | None]]) -> None:
        """`used`: day, project and key of each row."""
        self._is_final = scope.is_final
        wanted: dict[tuple[str, date, int], None] = {}
        for day, project_id, key_id in used:
            month = self._month(day)
            wanted[Kind.PROJECT, month, project_id] = None
            if key_id is not None:
                wanted[Kind.KEY, month, key_id] = None
        self._found = _kept(scope.tenant_id, wanted) if scope.is_final else {}
        missing = [one for one in wanted if one not in self._found]
        self._found |= _as_they_are(scope.tenant_id, missing)
        if scope.is_final and missing:
            self._keep(scope.tenant_id, missing)
            self._found = _kept(scope.tenant_id, wanted)

    def project(self, day: date, project_id: int) -> Named:
        """Of a row of that day."""
        return self._found[Kind.PROJECT, self._month(day), project_id]

    def key(self, day: date, key_id: int) -> Named:
        """Of a row of that day."""
        return self._found[Kind.KEY, self._month(day), key_id]

    def _month(self, day: date) -> date:
        return day.replace(day=1) if self._is_final else date.min

    def _keep(self, tenant_id: int, missing: Iterable[tuple[str, date, int]]) -> None:
        rows = [
            ExportName(tenant_id=tenant_id, month=month, kind=kind, named_id=named_id, name=found.name, ref=found.ref)
            for kind, month, named_id in missing
            if (found := self._found[kind, month, named_id])
        ]
        # Somebody may export the same month at once: the first one's names count.
        ExportName.objects.bulk_create(rows, ignore_conflicts=True)


def _kept(tenant_id: int, wanted: Iterable[tuple[str, date, int]]) -> dict[tuple[str, date, int], Named]:
    months, ids = {month for _, month, _ in wanted}, {named_id for _, _, named_id in wanted}
    kept = ExportName.objects.filter(tenant=tenant_id, month__in=months, named_id__in=ids)
    return {(row.kind, row.month, row.named_id): Named(row.name, row.ref) for row in kept}


def _as_they_are(tenant_id: int, wanted: Iterable[tuple[str, date, int]]) -> dict[tuple[str, date, int], Named]:
    ids = {kind: {named_id for one, _, named_id in wanted if one == kind} for kind in Kind}
    projects = Project.objects.filter(tenant=tenant_id, pk__in=ids[Kind.PROJECT])
    keys = ApiKey.objects.filter(tenant=tenant_id, pk__in=ids[Kind.KEY])
    now = {
        (str(Kind.PROJECT), row[0]): Named(row[1], row[2]) for row in projects.values_list("pk", "name", "cost_centre")
    }
    now |= {(str(Kind.KEY), row[0]): Named(row[1], row[2]) for row in keys.values_list("pk", "name", "lookup")}
    return {(kind, month, named_id): now.get((kind, named_id), Named("", "")) for kind, month, named_id in wanted}
