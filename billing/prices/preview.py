"""What other prices would have made of last month's usage, before they are saved.

The sums a day (UTC) of the month before this one, for those whose contract has the list now, at the prices until then
and at the new ones. It is exact but for rounding: the ledger rounds each request to a nano-EUR, this each sum of an
organisation, model and mode, so the two differ by half a nano-EUR a request at most. Reads only.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db import connection

from billing.clock import database_now
from billing.models import RateCard
from billing.pricing import METERS, MissingPrice, Prices, Quantities, price_of
from billing.usage.span import Days

_QUANTITIES = ", ".join(f"sum(u.{meter}_quantity)::bigint" for meter in METERS)
_USED = f"""
    select t.slug, t.name, u.model_id, u.mode, sum(u.requests)::bigint, {_QUANTITIES}
    from billing_contract c
    join identity_tenant t on t.id = c.tenant_id and not t.is_platform
    join billing_usage_day u on u.tenant_id = c.tenant_id and u.day >= %(since)s and u.day < %(until)s
        and (u.model_id, u.mode) in (select * from unnest(%(models)s::bigint[], %(modes)s::text[]))
    where c.rate_card_id = %(card)s and c.ends_at is null group by 1, 2, 3, 4
"""  # noqa: S608  # constants of ours


@dataclass(frozen=True, slots=True)
class PriceChange:
    """Prices of a model in a mode, nano-EUR per million units by meter. `old` None: it had none."""

    model_id: int
    model: str
    mode: str
    old: Mapping[str, int] | None
    new: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TenantPreview:
    """An organisation's month, nano-EUR."""

    slug: str
    name: str
    old_nano_eur: int
    new_nano_eur: int

    @property
    def more_nano_eur(self) -> int:
        """What it would have paid more; less than 0: less."""
        return self.new_nano_eur - self.old_nano_eur


@dataclass(frozen=True, slots=True)
class Preview:
    """What changes would have made of a month. `tenants`: the greatest difference first.

    unpriced: (model, meter) that were used and would have had no price, so that those requests would be refused; they
    are in neither amount
    """

    first: date
    last: date
    requests: int
    tenants: Sequence[TenantPreview]
    unpriced: Sequence[tuple[str, str]]

    @property
    def old_nano_eur(self) -> int:
        """Of all."""
        return sum(one.old_nano_eur for one in self.tenants)

    @property
    def new_nano_eur(self) -> int:
        """Of all."""
        return sum(one.new_nano_eur for one in self.tenants)

    @property
    def more_nano_eur(self) -> int:
        """What all would have paid more; less than 0: less."""
        return self.new_nano_eur - self.old_nano_eur


def preview_prices(card: RateCard, changes: Iterable[PriceChange]) -> Preview:
    """What these changes would have made of last month's usage of who pays by the list. Two queries."""
    by_key = {(change.model_id, change.mode): change for change in changes}
    last = database_now().date().replace(day=1) - timedelta(days=1)
    first = last.replace(day=1)
    names: dict[str, str] = {}
    amounts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    unpriced: dict[tuple[str, str], None] = {}
    requests = 0
    for slug, name, model_id, mode, count, *quantities in _used(card, by_key, first, last):
        change, used = by_key[model_id, mode], Quantities._make(quantities)
        requests += count
        names[slug] = name
        try:
            new, _ = price_of(used, Prices(0, change.new))
            old, _ = price_of(used, Prices(0, change.old)) if change.old is not None else (0, None)
        except MissingPrice as missing:
            unpriced[change.model, missing.meter] = None
        else:
            amounts[slug][0] += old
            amounts[slug][1] += new
    tenants = [TenantPreview(slug, name, *amounts[slug]) for slug, name in names.items()]
    tenants.sort(key=lambda one: (-abs(one.more_nano_eur), one.name))
    return Preview(first, last, requests, tenants, list(unpriced))


def _used(card: RateCard, keys: Collection[tuple[int, str]], first: date, last: date) -> list[tuple[Any, ...]]:
    models, modes = [model for model, _ in keys], [mode for _, mode in keys]
    since, until = Days(first, last, "UTC").bounds()
    with connection.cursor() as cursor:
        cursor.execute(_USED, {"since": since, "until": until, "card": card.pk, "models": models, "modes": modes})
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
