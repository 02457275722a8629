"""Tenants as a spreadsheet has them: a heading, then a tenant a line.

The heading names `external_id`, `name` and `tier`, and may name `owner`, `slug` and `time_zone`, in any order. Commas
or semicolons, in UTF-8.
"""

from billing.tables import TableLine, read_table
from billing.tenants.tenants import WISHES_MAX, TenantWish

REQUIRED = ("external_id", "name", "tier")
OPTIONAL = ("owner", "slug", "time_zone")


def read_wishes(text: str) -> list[TenantWish]:
    """The tenants in the text. Raises `Invalid` for what is no such table; whether a tenant makes sense, others say."""
    return [_wish(line) for line in read_table(text, required=REQUIRED, optional=OPTIONAL, most=WISHES_MAX)]


def _wish(line: TableLine) -> TenantWish:
    given = {name: cell for name, cell in line.cells.items() if cell or name in REQUIRED}
    return TenantWish(**given, line=line.number)
