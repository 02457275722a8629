"""Helm 4 as a library, in an environment of its own: 85 MB that nobody else needs.

python -m tests.deploy.helm prepare     # .venv-helm/
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "beffroi"
ENVIRONMENT = ROOT / ".venv-helm"
REQUIREMENTS = ROOT / "requirements-helm.txt"
_STAMP = ENVIRONMENT / "prepared.json"
_PYTHON = ENVIRONMENT / "bin" / "python"
_PROGRAM = """
import json, sys
from helm_python import Chart, HelmError, lint
chart, values = sys.argv[1], json.loads(sys.argv[2])
told = {"lint": lint(chart, values)}
try:
    told["files"] = Chart.load(chart).render(values=values, name="llm", namespace="models")
except HelmError as error:
    told["refused"] = str(error)
print(json.dumps(told))
"""


class Refused(Exception):
    """The chart does not take these values."""


def is_prepared() -> bool:
    """Whether the environment is there as the requirements want it."""
    return _STAMP.is_file() and json.loads(_STAMP.read_text()) == REQUIREMENTS.read_text()


def prepare() -> None:
    """Make the environment, unless it is there."""
    if is_prepared():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
    subprocess.run([str(_PYTHON), "-m", "pip", "install", "--no-deps", "-r", str(REQUIREMENTS)], check=True)
    _STAMP.write_text(json.dumps(REQUIREMENTS.read_text()))


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects that Helm would apply. Raises `Refused`; fails where Helm finds fault with the chart."""
    command = [str(_PYTHON), "-c", _PROGRAM, str(CHART), json.dumps(values)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    if "refused" in told:
        raise Refused(told["refused"])
    assert not told["lint"]["errors"], told["lint"]
    texts = [text for name, text in told["files"].items() if name.endswith(".yaml")]
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


if __name__ == "__main__" and sys.argv[1:] == ["prepare"]:
    prepare()
