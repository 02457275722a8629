"""What `deploy/` asks of Prometheus is there: names and labels are the page's (`test_page.py` reads a real one)."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.metrics.families import FAMILIES, Kind

ROOT = Path(__file__).parents[3]
SUFFIXES = ("_bucket", "_sum", "_count")
PROMETHEUS_LABELS = {"instance", "le", "gen_ai_provider_name"}


def alerts() -> list[dict[str, Any]]:
    """The rules."""
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels that show something."""
    dashboard = json.loads((ROOT / "deploy/grafana/beffroi.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """What it is for, and the query."""
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield f"panel {panel['title']} {target['refId']}", target["expr"]


EXPRESSIONS = dict(expressions())


def series_in(expression: str) -> Iterator[str]:
    """The names of metrics in a query: those that are no labels there."""
    without_strings = re.sub(r'"[^"]*"', '""', expression)
    without_labels = re.sub(r"\{[^}]*\}|\b(by|on)\s*\([^)]*\)", "", without_strings)
    yield from re.findall(r"\b(?:gen_ai|beffroi)_\w+", without_labels)


def family_of(series: str) -> str:
    """The metric that a series is of."""
    if series in FAMILIES:
        return series
    return next(series.removesuffix(suffix) for suffix in SUFFIXES if series.endswith(suffix))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_series_that_is_asked_for_exists(name: str) -> None:
    asked = list(series_in(EXPRESSIONS[name]))
    assert asked or name == "BeffroiAway"  # `up` is Prometheus' own
    for series in asked:
        family = FAMILIES[family_of(series)]
        assert (series in FAMILIES) == (family.kind is not Kind.HISTOGRAM), f"{series} is no series of a histogram"


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_label_that_is_asked_for_exists(name: str) -> None:
    expression = EXPRESSIONS[name]
    asked = set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", expression))
    for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
        asked |= {label.strip() for label in group.split(",")}
    known = {label for series in series_in(expression) for label in FAMILIES[family_of(series)].labels}
    assert asked - {"job"} <= known | PROMETHEUS_LABELS


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_counters_are_asked_for_as_rates_and_brackets_close(name: str) -> None:
    expression = EXPRESSIONS[name]
    assert expression.count("(") == expression.count(")")
    for series in series_in(expression):
        if FAMILIES[family_of(series)].kind is not Kind.GAUGE:
            assert re.search(rf"(rate|increase)\({series}(\{{[^}}]*\}})?\[", expression)


def test_every_alert_is_explained_and_says_how_urgent_it_is() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    explained = re.findall(r"^\| (Beffroi\w+) \|", text, re.MULTILINE)
    assert sorted(explained) == sorted(rule["alert"] for rule in alerts())
    assert {rule["labels"]["severity"] for rule in alerts()} == {"critical", "warning"}


def test_panels_have_units_a_place_of_their_own_and_no_fixed_source() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in panels()]
    assert len(set(places)) == len(places)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels())
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in panels())


def test_the_dashboard_shows_every_metric() -> None:
    shown = {
        family_of(series) for panel in panels() for target in panel["targets"] for series in series_in(target["expr"])
    }
    assert FAMILIES.keys() - shown == set()
