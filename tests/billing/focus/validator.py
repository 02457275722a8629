"""The FinOps Foundation's `focus-validator`, which brings the FOCUS 1.2 model, in an environment of its own.

python -m tests.billing.focus.validator prepare     # .venv-focus/: minutes the first time; needs Python 3.12
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.billing.focus.rules import SUPPORTED

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = ROOT / ".venv-focus"
REQUIREMENTS = ROOT / "requirements-focus.txt"
_STAMP = ENVIRONMENT / "prepared.json"
_PYTHONS = ("python3.12", "python3.13")
# It takes a rule for one that counts where any of what it asks for is done, not all: so the columns of prices in other
# currencies would be wanted of whoever has a public price list.
_SAID = sorted(SUPPORTED - {"PUBLIC_PRICE_LIST_SUPPORTED"})
_FAILED = re.compile(r"([A-Za-z]+-[CD]-[0-9]{3}-[MCO]): FAIL .*?msg=(.*)")
# Rules that it cannot evaluate: two ask about a column of commitment discounts, which we have none of; the third is one
# of two ways to keep another rule, which passes.
UNABLE = frozenset({"ConsumedQuantity-C-004-C", "ConsumedQuantity-C-006-C", "InvoiceId-C-005-C"})


def is_prepared() -> bool:
    """Whether the environment is there as the requirements want it."""
    return _STAMP.is_file() and json.loads(_STAMP.read_text()) == REQUIREMENTS.read_text()


def prepare() -> None:
    """Make the environment, unless it is there."""
    if is_prepared():
        return
    python = next((found for name in _PYTHONS if (found := shutil.which(name)) and _runs(found)), None)
    if python is None:
        raise SystemExit(f"focus-validator needs one of {', '.join(_PYTHONS)}")
    subprocess.run([python, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
    pip = (str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-deps")
    subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
    _STAMP.write_text(json.dumps(REQUIREMENTS.read_text()))


def violations(file: Path) -> dict[str, str]:
    """The rules that the validator finds broken in a Parquet file, with its words; those above left out."""
    # It opens a file of its own by a path relative to where it is installed.
    [packages] = (ENVIRONMENT / "lib").glob("python3.*/site-packages")
    command = [str(ENVIRONMENT / "bin" / "focus-validator"), "--data-file", str(file), "--validate-version", "1.2"]
    command += ["--block-download", "--applicability-criteria", ",".join(_SAID), "--show-violations"]
    done = subprocess.run(command, cwd=packages, capture_output=True, text=True, timeout=120, check=False)
    assert "Total: " in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    found = dict(_FAILED.findall(done.stdout))
    # A rule of rules fails with its parts: they say what is wrong.
    return {name: told for name, told in found.items() if name not in UNABLE and "failed child rules" not in told}


def _runs(python: str) -> bool:
    """A shim may stand for a Python that is not there."""
    return subprocess.run([python, "-c", "import venv"], capture_output=True, check=False).returncode == 0


if __name__ == "__main__" and sys.argv[1:] == ["prepare"]:
    prepare()
