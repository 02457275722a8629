"""No status, code or meter is shown without words."""

import ast
import re
from pathlib import Path

import psycopg
import pytest

import gateway.relay
from billing.models.prices import Meter
from billing.pricing import METERS
from console.request_words import REFUSALS, STATUSES, words_of_code, words_of_status

# Function of gateway/relay/errors.py -> the place of the code among its arguments.
_MAKERS = {"_invalid": 1, "_forbidden": 0, "_unavailable": 0, "invalid_field": 2, "Refusal": 2}


def codes_of_the_relay() -> set[str]:
    """Every code that is written in the relay's source."""
    found: set[str] = set()
    for file in Path(gateway.relay.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in _MAKERS:
                    given = node.args[_MAKERS[name] : _MAKERS[name] + 1]
                    given += [keyword.value for keyword in node.keywords if keyword.arg == "code"]
                    found |= _texts(given)
            elif isinstance(node, ast.FunctionDef) and node.name in _MAKERS:
                found |= _texts(node.args.defaults)
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_ACCOUNT_REFUSALS":
                assert isinstance(node.value, ast.Dict)
                found |= _texts([key for key in node.value.keys if key])
    return {code for code in found if re.fullmatch(r"[a-z_]+", code)}


def _texts(nodes: list[ast.expr]) -> set[str]:
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_each_code_that_the_relay_refuses_with_has_words() -> None:
    codes = codes_of_the_relay()
    assert {"insufficient_quota", "tenant_suspended", "unsupported_parameter", "no_replica", "invalid_value"} <= codes
    assert codes - REFUSALS.keys() == set()


@pytest.mark.usefixtures("database")
def test_each_status_that_the_ledger_knows_has_words(owner_database_url: str) -> None:
    with psycopg.connect(owner_database_url) as owner:
        row = owner.execute(
            "select pg_get_constraintdef(oid) from pg_constraint where conname = 'usage_record_status_is_known'"
            " and conrelid = 'billing_usage_record'::regclass"
        ).fetchone()
    assert row is not None
    assert set(re.findall(r"'(\w+)'::text", row[0])) == STATUSES.keys()


def test_each_meter_has_a_word() -> None:
    assert {meter.value for meter in Meter} == set(METERS)


@pytest.mark.parametrize("words", [*STATUSES.values(), *REFUSALS.values()], ids=[*STATUSES, *REFUSALS])
def test_words_are_sentences(words: object) -> None:
    what, advice = str(words.what), str(words.advice)  # type: ignore[attr-defined]
    assert what.endswith(".")
    assert not advice or advice.endswith(".")


def test_what_a_later_release_wrote_is_shown_as_it_is() -> None:
    assert str(words_of_status("beamed_up").title) == "beamed up"
    assert str(words_of_code("too_fast").title) == "too fast"
