"""The PDF of an invoice, credit note or statement, in the language that its contents name.

The page is worded here, from a template; drawing it is WeasyPrint's, in a process of its own (`make_pdf.py`), as it
needs libraries of the system (Pango) that a machine may lack. An invoice and a credit note carry their XML (Factur-X).
"""

import base64
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation

from billing.invoices.document.cii import xml_of
from billing.invoices.document.contents import InvoiceContents, Kind, digest_of
from billing.invoices.document.libraries import INSTALLS, missing_libraries
from billing.invoices.document.make_pdf import LIBRARIES_MISSING, SCHEME
from billing.invoices.document.page import words_of
from billing.money import NANO_EUR_PER_CENT, exact_eur

# Ten thousand lines take about two minutes on a slow core.
SECONDS = 300
_ROOT = Path(__file__).parents[3]
_FONTS = Path("node_modules/@fontsource/inter/files")
_SCRIPTS = ("latin", "latin-ext", "greek", "greek-ext", "cyrillic", "cyrillic-ext", "vietnamese")
_WEIGHTS = (400, 600)
_XMP = "documents/factur-x.xmp"
# Between thousands: the narrow space is hardly seen in print.
_NARROW, _WIDE = "\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}"
# What a European bank's app takes from a code (EPC069-12).
_MOST_CENTS_OF_CODE = 99_999_999_999


class NoPdf(Exception):
    """The PDF could not be made."""


class LibrariesMissing(NoPdf):
    """This machine lacks the libraries that draw text: `INSTALLS` brings them."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The service's logo: its bytes (PNG or WebP)."""

    content: bytes


def render_pdf(contents: InvoiceContents, *, logo: Picture | None = None) -> bytes:
    """The document as PDF/A-3; the same contents and logo give the same bytes. Seconds.

    Raises `LibrariesMissing`, `NoPdf`, and ValueError where there is no valid XML to embed.
    """
    if missing_libraries():
        raise LibrariesMissing(INSTALLS)
    files = {"logo": logo.content} if logo else {}
    code = _code_for_banks(contents)
    if code:
        files["code"] = code
    task = {
        "html": html_of(contents, has_logo=logo is not None, has_code=bool(code)),
        "style": _style(),
        "files": {name: base64.b64encode(content).decode() for name, content in files.items()},
        "id": digest_of(contents)[:32],
        "issued_on": contents.issued_on.isoformat(),
    }
    if contents.kind != Kind.STATEMENT:
        task |= {"xml": xml_of(contents).decode(), "xmp": render_to_string(_XMP)}
    return _run(json.dumps(task).encode())


def html_of(contents: InvoiceContents, *, has_logo: bool = False, has_code: bool = False) -> str:
    """The page, worded in the contents' language."""
    with translation.override(contents.language):
        words = {**words_of(contents), "has_logo": has_logo, "has_code": has_code}
        page = render_to_string("documents/invoice.html", words)
    return page.replace(_NARROW, _WIDE)


def _run(task: bytes) -> bytes:
    fonts = settings.BASE_DIR / _FONTS
    command = [sys.executable, "-m", "billing.invoices.document.make_pdf", str(fonts)]
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "HOME", "TMPDIR") if name in os.environ}
    try:
        done = subprocess.run(
            command, input=task, capture_output=True, timeout=SECONDS, cwd=_ROOT, env=environment, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NoPdf(f"it took longer than {SECONDS} s") from error
    if done.returncode == LIBRARIES_MISSING:
        raise LibrariesMissing(INSTALLS)
    if done.returncode != 0 or not done.stdout.startswith(b"%PDF-"):
        raise NoPdf(f"it ended with {done.returncode}: {done.stderr.decode(errors='replace')[-500:]}")
    return done.stdout


def _style() -> str:
    faces = "".join(
        f'@font-face {{ font-family: "Inter {script}"; font-weight: {weight}; '
        f"src: url({SCHEME}font/inter-{script}-{weight}-normal.woff2); }}\n"
        for script in _SCRIPTS
        for weight in _WEIGHTS
    )
    families = ", ".join(f'"Inter {script}"' for script in _SCRIPTS)
    return faces + render_to_string("documents/invoice.css").replace("FONTS", f"{families}, sans-serif")


def _code_for_banks(contents: InvoiceContents) -> bytes:
    """A code that fills in the transfer in a bank's app (EPC069-12), as SVG; b"" where nothing is to be paid so."""
    paid = contents.payment
    if contents.kind != Kind.INVOICE or not paid.iban or not 0 < contents.due_cents <= _MOST_CENTS_OF_CODE:
        return b""
    import segno

    amount = exact_eur(contents.due_cents * NANO_EUR_PER_CENT)
    name = (paid.account_name or contents.seller.name)[:70]
    iban = paid.iban.replace(" ", "")
    said = ["BCD", "002", "1", "SCT", paid.bic, name, iban, f"EUR{amount}", "", "", contents.number[:140], ""]
    drawn = io.BytesIO()
    segno.make("\n".join(said), error="m", micro=False, boost_error=False).save(
        drawn, kind="svg", border=0, dark="#1b2434", xmldecl=False
    )
    return drawn.getvalue()
