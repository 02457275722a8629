"""Where the rows of each kind of exports come from."""

from billing.exports.rows import days, focus, ledger, requests
from billing.exports.rows.all_tenants import AllTenants
from billing.exports.rows.source import Source
from billing.models.exports import Export

SOURCES: dict[str, Source] = {
    Export.Kind.REQUESTS: requests,
    Export.Kind.DAYS: days,
    Export.Kind.LEDGER: ledger,
    Export.Kind.FOCUS: focus,
    Export.Kind.ALL_DAYS: AllTenants(days, is_named=True),
    Export.Kind.ALL_LEDGER: AllTenants(ledger, is_named=True),
    Export.Kind.ALL_FOCUS: AllTenants(focus, is_named=False),
}
