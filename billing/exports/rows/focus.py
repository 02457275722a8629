"""Cost and usage in FOCUS 1.2 (FinOps Foundation), with the provider columns of 1.3, in one table.

A row a day, project, key, model, mode, price and meter: the project is the sub account, the key the resource, a model's
meter the SKU. What was worth more than its reservation and so not charged is a credit beside it; entries of the ledger
follow. Top-ups and their expiry are no costs and are left out. `BilledCost` adds up to what was charged, to the
nano-euro; `ListCost` and `ContractedCost` are price times quantity, rounded once to a nano-euro. `x_Kwh` is what the
catalogue declared of the model when it was asked.
"""

# ruff: noqa: S608  # queries are made of constants of ours

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, timedelta
from typing import Any

from django.db import connection

from billing.exports.formats.table import Column, Row, Type, eur
from billing.exports.rows import ledger
from billing.exports.rows.days import day_bounds
from billing.exports.rows.kept import require_records
from billing.exports.rows.names import Names
from billing.exports.rows.source import Batch, Scope
from billing.models import LedgerEntry
from billing.pricing import METERS, MissingPrice, Prices, divide_half_even
from billing.usage.records import prices_of_versions

_TOKENS = ("Tokens", "1000000 Tokens", 0)
_OF_TOKENS = METERS[:4]
# Meter -> unit of what was consumed, unit of the price, decimals of what was consumed.
_UNITS = {
    "input": _TOKENS,
    "cached": _TOKENS,
    "output": _TOKENS,
    "reasoning": _TOKENS,
    "audio_ms": ("Seconds", "1000 Seconds", 3),
    "documents": ("Documents", "1000000 Documents", 0),
    "images": ("Images", "1000000 Images", 0),
}
_METER_NAMES = {
    "input": "Input tokens",
    "cached": "Cached input tokens",
    "output": "Output tokens",
    "reasoning": "Reasoning tokens",
    "audio_ms": "Audio",
    "documents": "Documents",
    "images": "Images",
}
COLUMNS: tuple[Column, ...] = (
    eur("BilledCost"),
    Column("BillingAccountId"),
    Column("BillingAccountName"),
    Column("BillingCurrency"),
    Column("BillingPeriodEnd", Type.MOMENT),
    Column("BillingPeriodStart", Type.MOMENT),
    Column("ChargeCategory"),
    Column("ChargeClass"),
    Column("ChargeDescription"),
    Column("ChargeFrequency"),
    Column("ChargePeriodEnd", Type.MOMENT),
    Column("ChargePeriodStart", Type.MOMENT),
    Column("ConsumedQuantity", Type.DECIMAL, scale=3),
    Column("ConsumedUnit"),
    eur("ContractedCost"),
    eur("ContractedUnitPrice", is_summed=False),
    eur("EffectiveCost"),
    Column("HostProviderName"),
    Column("InvoiceId"),  # null: nothing is invoiced yet
    Column("InvoiceIssuerName"),
    eur("ListCost"),
    eur("ListUnitPrice", is_summed=False),
    Column("PricingCategory"),
    Column("PricingQuantity", Type.DECIMAL, scale=6),
    Column("PricingUnit"),
    Column("ProviderName"),
    Column("PublisherName"),
    Column("ResourceId"),
    Column("ResourceName"),
    Column("ResourceType"),
    Column("ServiceCategory"),
    Column("ServiceName"),
    Column("ServiceProviderName"),
    Column("ServiceSubcategory"),
    Column("SkuId"),
    Column("SkuMeter"),
    Column("SkuPriceDetails"),
    Column("SkuPriceId"),
    Column("SubAccountId"),
    Column("SubAccountName"),
    Column("Tags"),
    Column("x_Kwh", Type.DECIMAL, scale=9, is_summed=True),
    Column("x_Mode"),
    Column("x_Model"),
)
_PLACES = [column.name for column in COLUMNS]
_QUERY = f"""
    select key_id, project_id, model, mode, price_version_id,
        {", ".join(f"sum({meter}_quantity)::bigint" for meter in METERS)},
        {", ".join(f"sum({meter}_nano_eur)::bigint" for meter in METERS)},
        {", ".join(f"sum({meter}_quantity * kwh_per_million_tokens * 1000)::bigint" for meter in _OF_TOKENS)},
        sum(uncharged_nano_eur)::bigint
    from billing_usage_record
    where tenant_id = %(tenant)s and request_id > %(after)s and request_id < %(before)s and settled_at <= %(cut)s
        and date_trunc('hour', admitted_at, 'UTC') >= %(day_begins)s
        and date_trunc('hour', admitted_at, 'UTC') < %(day_ends)s
        and (%(project)s::bigint is null or project_id = %(project)s) and (%(key)s::bigint is null or key_id = %(key)s)
        and (%(model)s = '' or model = %(model)s)
        and (key_id, project_id, model, mode, price_version_id) > (
            %(of_key)s, %(of_project)s, %(of_model)s, %(of_mode)s, %(of_price)s
        )
    group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5 limit %(size)s
"""
_PLACE = ("of_key", "of_project", "of_model", "of_mode", "of_price")
_FROM_START = (0, 0, "", "", 0)
# No entry narrows to a project, key or model; how each counts against what is charged.
_ENTRIES = {
    LedgerEntry.Kind.REFUND: ("Credit", -1, "Refund"),
    LedgerEntry.Kind.CORRECTION: ("Adjustment", 1, "Correction"),
    LedgerEntry.Kind.FEE: ("Purchase", 1, "Fee"),
}
_MOST_METERS = len(METERS) + 1


def read(scope: Scope, cursor: list[Any], size: int) -> Batch:
    """The rows of the next days, then those of the ledger's entries."""
    if not cursor:
        require_records(scope)
    if cursor and cursor[0] == "entries":
        return _entries(scope, cursor[1:], size)
    day, after = (date.fromisoformat(cursor[0]), tuple(cursor[1:])) if cursor else (scope.first_day, _FROM_START)
    last, wanted = scope.last_day, max(1, size // _MOST_METERS)
    groups: list[tuple[Any, ...]] = []
    while day <= last and len(groups) < wanted:
        room = wanted - len(groups)
        found = _of_day(scope, day, after, room)
        groups += [(day, *row) for row in found]
        day, after = (day, found[-1][:5]) if len(found) == room else (day + timedelta(days=1), _FROM_START)
    rows = list(_usage_rows(scope, groups))
    following = [day.isoformat(), *after] if day <= last else ["entries"]
    return Batch(rows, following, scope.midnight(min(day, last)), _billed(rows))


def _of_day(scope: Scope, day: date, after: Sequence[Any], size: int) -> list[tuple[Any, ...]]:
    place = dict(zip(_PLACE, after, strict=True))
    with connection.cursor() as reader:
        reader.execute(_QUERY, scope.parameters() | day_bounds(scope, day) | place | {"size": size})
        rows: list[tuple[Any, ...]] = reader.fetchall()
    return rows


def _usage_rows(scope: Scope, groups: Sequence[tuple[Any, ...]]) -> Iterator[Row]:
    names = Names(scope, ((row[0], row[2], row[1]) for row in groups), is_billed=True)
    prices = prices_of_versions({row[5] for row in groups})
    for day, key_id, project_id, model, mode, version, *figures in groups:
        project, key = names.project(day, project_id), names.key(day, key_id)
        common = _of_period(scope, names, day) | {
            "ResourceId": key.ref,
            "ResourceName": key.name,
            "ResourceType": "API key",
            "SubAccountId": f"project-{project_id}",  # readers of CSV take digits alone for a number
            "SubAccountName": project.name,
            "Tags": json.dumps({"cost_centre": project.ref}, ensure_ascii=False) if project.ref else "{}",
            "x_Mode": mode,
            "x_Model": model,
        }
        quantities, amounts = figures[: len(METERS)], figures[len(METERS) : 2 * len(METERS)]
        energies, uncharged = dict(zip(_OF_TOKENS, figures[2 * len(METERS) :], strict=False)), figures[-1]
        for place, meter in enumerate(METERS):
            if quantities[place] or amounts[place]:
                sold = _sold(prices[version], place, quantities[place]) | {"x_Kwh": energies.get(meter)}
                yield _row(common | sold | _described(model, mode, meter, version) | _billed_as(amounts[place], sold))
        if uncharged:
            told = {"ChargeCategory": "Credit", "ChargeDescription": f"{model}: beyond its reservation, not charged"}
            yield _row(common | told | _billed_as(-uncharged))


def _entries(scope: Scope, cursor: list[Any], size: int) -> Batch:
    is_narrowed = scope.project_id or scope.key_id or scope.model
    found = [] if is_narrowed else ledger.entries(scope, cursor, size)
    costs = [entry for entry in found if entry[3] in _ENTRIES]
    names = Names(scope, ((entry[2], None, None) for entry in costs), is_billed=True)
    rows = []
    for _id, _at, day, kind, amount, _request_id, reason in costs:
        category, sign, word = _ENTRIES[LedgerEntry.Kind(kind)]
        told = {"ChargeCategory": category, "ChargeDescription": f"{word}: {reason}", "ChargeFrequency": "One-Time"}
        if category == "Purchase":
            told |= _bought_once(word)
        sold = {"ListUnitPrice": sign * amount, "ContractedUnitPrice": sign * amount} if category == "Purchase" else {}
        rows.append(_row(_of_period(scope, names, day) | told | sold | _billed_as(sign * amount)))
    is_last = len(found) < size
    following = None if is_last else ["entries", *ledger.place_of(found[-1])]
    return Batch(rows, following, scope.until, _billed(rows))


def _of_period(scope: Scope, names: Names, day: date) -> dict[str, Any]:
    """What all rows of a day have in common."""
    month = day.replace(day=1)
    following = (month + timedelta(days=32)).replace(day=1)
    tenant, seller = names.tenant(day), names.seller(day)
    return {
        "BillingAccountId": tenant.ref,
        "BillingAccountName": tenant.name,
        "BillingCurrency": "EUR",
        "BillingPeriodStart": scope.midnight(month).astimezone(UTC),
        "BillingPeriodEnd": scope.midnight(following).astimezone(UTC),
        "ChargePeriodStart": scope.midnight(day).astimezone(UTC),
        "ChargePeriodEnd": scope.midnight(day + timedelta(days=1)).astimezone(UTC),
        "ChargeFrequency": "Usage-Based",
        "ProviderName": seller.name,
        "PublisherName": seller.name,
        "InvoiceIssuerName": seller.name,
        "ServiceProviderName": seller.name,
        "HostProviderName": seller.name,
        "ServiceName": seller.ref,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
    }


def _sold(prices: Prices, place: int, quantity: int) -> dict[str, Any]:
    """Quantity and price of a meter. A price that is missing was never needed: such a request is refused."""
    unit, price_unit, decimals = _UNITS[METERS[place]]
    try:
        price = prices.of(place)
    except MissingPrice:
        price = 0
    worth = divide_half_even(quantity * price)
    return {
        "ConsumedQuantity": quantity * 10 ** (3 - decimals),
        "ConsumedUnit": unit,
        "PricingCategory": "Standard",
        "PricingQuantity": quantity,
        "PricingUnit": price_unit,
        "ListUnitPrice": price,
        "ContractedUnitPrice": price,
        "ListCost": worth,
        "ContractedCost": worth,
    }


def _described(model: str, mode: str, meter: str, version: int) -> dict[str, str]:
    return {
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{model}: {_METER_NAMES[meter].lower()}",
        "SkuId": f"{model}/{meter}",
        "SkuMeter": _METER_NAMES[meter],
        "SkuPriceId": f"{version}/{model}/{meter}",
        "SkuPriceDetails": json.dumps({"x_Mode": mode}),
    }


def _bought_once(what: str) -> dict[str, Any]:
    """A fee is one of its kind."""
    return {
        "PricingCategory": "Standard",
        "PricingQuantity": 10**6,
        "PricingUnit": "Units",
        "SkuId": what.lower(),
        "SkuMeter": what,
        "SkuPriceId": what.lower(),
    }


def _billed_as(amount: int, sold: dict[str, Any] | None = None) -> dict[str, int]:
    """The costs of a row. Where it has no price, they are one."""
    billed = {"BilledCost": amount, "EffectiveCost": amount}
    return billed if sold else billed | {"ListCost": amount, "ContractedCost": amount}


def _row(values: dict[str, Any]) -> Row:
    return [values.get(name) for name in _PLACES]


def _billed(rows: Sequence[Row]) -> int:
    return sum(int(str(row[0])) for row in rows)
