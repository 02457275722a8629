"""The doors of sign-in, for those who run the platform: which are open, and when somebody last came through."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import OuterRef, Q, QuerySet, Subquery

from identity.models import IdentityProvider, LocalAdministrator, ProviderVersion, SignIn
from identity.operators import Operator
from identity.permissions import OperatorPermission

PAGE_SIZE = 50
_STATE = ProviderVersion.State
_AUDIENCE = IdentityProvider.Audience


@dataclass(frozen=True, slots=True)
class Door:
    """A provider. `active`, `prepared`: its settings in use and in preparation; `used_at`: the last sign-in."""

    provider: IdentityProvider
    active: ProviderVersion | None
    prepared: ProviderVersion | None
    used_at: datetime | None

    @property
    def state(self) -> str:
        """`active`, `draft`, `tried` (an owner still puts it to use) or `off`."""
        if self.active is not None:
            return "active"
        return str(self.prepared.state) if self.prepared is not None else "off"


def platform_doors(by: Operator) -> dict[str, Door]:
    """The operators' and the shared provider, by audience, where somebody set them up. Raises `Forbidden`."""
    found = _doors(_providers(by).filter(audience__in=(_AUDIENCE.OPERATORS, _AUDIENCE.SHARED)))
    return {door.provider.audience: door for door in found}


def tenants_doors(by: Operator, *, after: int = 0) -> tuple[list[Door], int | None]:
    """Organisations' own providers in the order in which they came, and what to continue after. Raises `Forbidden`."""
    page = _doors(_providers(by).filter(audience=_AUDIENCE.TENANT, pk__gt=after).order_by("pk")[: PAGE_SIZE + 1])
    further = page[PAGE_SIZE - 1].provider.pk if len(page) > PAGE_SIZE else None
    return page[:PAGE_SIZE], further


def has_break_glass() -> bool:
    """Whether somebody could come in while no provider answers."""
    return LocalAdministrator.objects.exists()


def _providers(by: Operator) -> QuerySet[IdentityProvider]:
    by.require(OperatorPermission.PLATFORM_READ)
    last = SignIn.objects.filter(provider=OuterRef("pk")).order_by("-pk").values("began_at")[:1]
    return IdentityProvider.objects.select_related("tenant").annotate(used_at=Subquery(last))


def _doors(providers: QuerySet[IdentityProvider]) -> list[Door]:
    """Two queries."""
    rows = list(providers)
    used_at: dict[int, datetime | None] = {row.pk: vars(row)["used_at"] for row in rows}
    current = ProviderVersion.objects.filter(~Q(state=_STATE.OFF), provider__in=[row.pk for row in rows])
    active: dict[int, ProviderVersion] = {}
    prepared: dict[int, ProviderVersion] = {}
    for version in current:
        (active if version.state == _STATE.ACTIVE else prepared)[version.provider_id] = version
    return [Door(row, active.get(row.pk), prepared.get(row.pk), used_at[row.pk]) for row in rows]
