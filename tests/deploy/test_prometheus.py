"""Alerts fire when they should and not otherwise, as Prometheus itself runs them (`alert_tests.yaml`)."""

import json
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent
DEPLOY = HERE.parents[1] / "deploy"
ALERTS = DEPLOY / "prometheus/alerts.yaml"
CASES = HERE / "alert_tests.yaml"


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool on this machine: apt install prometheus")
    return found


def passes(*command: str | Path) -> None:
    """Whether promtool is content; what it says otherwise is shown."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def alerts() -> set[str]:
    """The names of all of them."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"] for group in groups for rule in group["rules"]}


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    seen: dict[bool, set[str]] = defaultdict(set)
    cases: list[dict[str, Any]] = yaml.safe_load(CASES.read_text())["tests"]
    for case in cases:
        for asked in case["alert_rule_test"]:
            seen[bool(asked.get("exp_alerts"))].add(asked["alertname"])
    assert seen == {True: alerts(), False: alerts()}


def test_alerts_fire_when_they_should_and_not_otherwise(promtool: str) -> None:
    passes(promtool, "test", "rules", CASES)


def test_the_example_is_a_configuration_that_prometheus_takes(promtool: str, tmp_path: Path) -> None:
    key = tmp_path / "beffroi.key"
    key.write_text("a key")
    text = (DEPLOY / "prometheus/prometheus.yaml").read_text()
    assert "/etc/prometheus/beffroi.key" in text
    (tmp_path / "prometheus.yaml").write_text(text.replace("/etc/prometheus/beffroi.key", str(key)))
    shutil.copy(ALERTS, tmp_path)
    passes(promtool, "check", "config", tmp_path / "prometheus.yaml")


def test_prometheus_can_read_every_query_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    dashboard = json.loads((DEPLOY / "grafana/beffroi.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert queries
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$__rate_interval", "1m", query).replace("$model", ".*")}
        for number, query in enumerate(queries)
    ]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    passes(promtool, "check", "rules", tmp_path / "panels.yaml")
