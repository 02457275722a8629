"""Checks rows of a file against the published FOCUS 1.2 model: every rule that a machine can decide.

The model says of a column which rules it has, and of a rule its requirement and the condition under which it counts;
this evaluates both. A cell that is empty is null, as in CSV.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

_MODEL = Path(__file__).parent / "model-1.2.0.1.json"
# What the service does; a rule counts only where all that it asks for is done.
SUPPORTED = frozenset(
    {
        "ACCOUNT_NAMING_SUPPORTED",
        "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED",
        "MULTIPLE_PRICING_CATEGORIES_SUPPORTED",
        "NEGOTIATED_PRICING_SUPPORTED",
        "PUBLIC_PRICE_LIST_SUPPORTED",
        "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED",
        "SUB_ACCOUNT_SUPPORTED",
        "TAGGING_SUPPORTED",
        "UNIT_PRICING_SUPPORTED",
        "USAGE_MEASUREMENT_SUPPORTED",
    }
)
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_UNIT = re.compile(r"([0-9]+ )?[A-Z][A-Za-z]+(-[A-Z][A-Za-z]+)?(/[A-Z][A-Za-z]+)?")
Cells = Mapping[str, str | None]
Rule = dict[str, Any]


@lru_cache
def model() -> dict[str, Rule]:
    """The rules by their ids."""
    rules: dict[str, Rule] = json.loads(_MODEL.read_text())["rules"]
    return rules


def offences(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The rules that the rows break, each once, with the values of the first row that does."""
    cells: list[Cells] = [{name: value or None for name, value in row.items()} for row in rows]
    present = set(rows[0])
    found = {offence.partition(":")[0]: offence for offence in _missing(present) + _indistinct(present, cells)}
    for root in _roots():
        if model()[root]["of"] in present:
            for row in cells:
                if name := _broken(root, row):
                    of = model()[name]["of"]
                    found.setdefault(name, f"{name}: {of} is {row.get(of)!r} of {row.get('ChargeDescription')!r}")
    return list(found.values())


@lru_cache
def _roots() -> list[str]:
    """The rules of columns that are no part of another one, under whose condition they would be."""
    of_columns = {name: rule for name, rule in model().items() if not name.startswith("CostAndUsage-")}
    parts = {part for rule in of_columns.values() for part in _named_in(rule["requirement"])}
    return [name for name in of_columns if name not in parts]


def _named_in(check: dict[str, Any]) -> Iterator[str]:
    if check.get("CheckFunction") == "CheckModelRule":
        yield check["ModelRuleId"]
    for item in check.get("Items", ()):
        yield from _named_in(item)


def _missing(present: set[str]) -> list[str]:
    presence = {name: rule for name, rule in model().items() if rule["function"] == "Presence"}
    assert presence, "the model says which columns there are"
    return [
        f"{name}: {rule['requirement']['ColumnName']} is missing"
        for name, rule in presence.items()
        if rule["keyword"] == "MUST" and _counts(rule) and rule["requirement"]["ColumnName"] not in present
    ]


def _counts(rule: Rule) -> bool:
    return set(rule["criteria"]) <= SUPPORTED


def _broken(name: str, row: Cells) -> str:
    """The rule, or the part of it, that the row breaks; "" where it breaks none.

    What is said with SHOULD or MAY cannot be broken, nor what no machine can decide.
    """
    rule = model().get(name)
    if rule is None or not _counts(rule) or rule["keyword"] not in ("MUST", "MUST NOT"):
        return ""
    if rule["condition"] and _broken_by(name, rule["condition"], row):
        return ""
    return _broken_by(name, rule["requirement"], row)


def _broken_by(name: str, check: dict[str, Any], row: Cells) -> str:
    match check["CheckFunction"]:
        case "AND":
            return next((part for item in check["Items"] if (part := _broken_by(name, item, row))), "")
        case "OR":
            return name if all(_broken_by(name, item, row) for item in check["Items"]) else ""
        case "CheckModelRule":
            return _broken(check["ModelRuleId"], row)
        case "CheckDistinctCount":
            return ""  # of all rows, not of one
    return "" if _CHECKS[check["CheckFunction"]](check, row) else name


def _indistinct(present: set[str], rows: Sequence[Cells]) -> list[str]:
    """Where a value of one column stands beside several of another that is to be its only one."""
    found = []
    for name, rule in model().items():
        check = rule["requirement"]
        if check.get("CheckFunction") != "CheckDistinctCount" or rule["of"] not in present or not _counts(rule):
            continue
        others: dict[str, set[str | None]] = defaultdict(set)
        for row in rows:
            if (value := row.get(check["ColumnAName"])) is not None:
                others[value].add(row.get(check["ColumnBName"]))
        found += [f"{name}: {value}" for value, seen in others.items() if len(seen) != check["ExpectedCount"]]
    return found


def _cell(check: dict[str, Any], row: Cells) -> str | None:
    # One check of the model calls its column CheckCondition.
    return row.get(check.get("ColumnName") or check["CheckCondition"])


def _is_null_or(check: Callable[[str], bool]) -> Callable[[dict[str, Any], Cells], bool]:
    return lambda asked, row: (value := _cell(asked, row)) is None or check(value)


def _equals(check: dict[str, Any], row: Cells) -> bool:
    value, wanted = _cell(check, row), check["Value"]
    if isinstance(wanted, int | float) and value is not None:
        return Decimal(value) == Decimal(str(wanted))
    return bool(value == wanted)


def _is_at_least(check: dict[str, Any], row: Cells) -> bool:
    value = _cell(check, row)
    return value is None or Decimal(value) >= Decimal(check["Value"])


def _is_product(check: dict[str, Any], row: Cells) -> bool:
    """To the last nano-euro, to which costs are rounded."""
    one, other, product = (row.get(check[name]) for name in ("ColumnAName", "ColumnBName", "ResultColumnName"))
    if one is None or other is None or product is None:
        return True
    return abs(Decimal(one) * Decimal(other) - Decimal(product)) <= Decimal("5e-10")


def _is_object(text: str) -> bool:
    value = json.loads(text)
    return isinstance(value, dict) and not any(isinstance(member, dict | list) for member in value.values())


def _same(check: dict[str, Any], row: Cells) -> bool:
    return row.get(check["ColumnAName"]) == row.get(check["ColumnBName"])


_is_number = _is_null_or(lambda text: bool(_NUMBER.fullmatch(text)))
_is_moment = _is_null_or(lambda text: bool(_MOMENT.fullmatch(text)))
_is_text = _is_null_or(lambda text: text == text.strip())
_is_currency = _is_null_or(lambda text: text == "EUR")
_CHECKS: dict[str, Callable[[dict[str, Any], Cells], bool]] = {
    "CheckValue": _equals,
    "CheckNotValue": lambda check, row: not _equals(check, row),
    "CheckSameValue": _same,
    "CheckNotSameValue": lambda check, row: not _same(check, row),
    "CheckGreaterOrEqualThanValue": _is_at_least,
    "ColumnByColumnEqualsColumnValue": _is_product,
    "TypeDecimal": _is_number,
    "FormatNumeric": _is_number,
    "CheckDecimalValue": _is_number,
    "TypeDateTime": _is_moment,
    "FormatDateTime": _is_moment,
    "TypeString": _is_text,
    "FormatString": _is_text,
    "FormatUnit": _is_null_or(lambda text: bool(_UNIT.fullmatch(text))),
    "FormatKeyValue": _is_null_or(_is_object),
    "FormatCurrency": _is_currency,
    "CheckNationalCurrency": _is_currency,
}
