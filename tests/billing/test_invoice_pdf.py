"""The PDF of an invoice is one that archives keep (PDF/A-3), has its XML inside, and reads nothing but what is ours."""

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from django.conf import settings
from pypdf import PdfReader

from billing.invoices.document import make_pdf, pdf
from billing.invoices.document.cii import xml_of
from billing.invoices.document.contents import InvoiceContents
from billing.invoices.document.pdf import LibrariesMissing, NoPdf, Picture, html_of, render_pdf
from tests.support.invoice_contents import PAYER, credit_note, flat_line, invoice, statement, usage_line

XMP = "{urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#}"
# One black point.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763606060000000040001"
    "f61738550000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def made() -> bytes:
    return render_pdf(invoice())


@pytest.fixture(scope="module")
def dressed() -> bytes:
    """One with a logo, and a line whose name is markup."""
    contents = invoice([flat_line(1, 100, '<img src="file:///etc/passwd"><style>')], language="en")
    return render_pdf(contents, logo=Picture(PNG))


@pytest.fixture(scope="module")
def opened(made: bytes) -> Iterator[pikepdf.Pdf]:
    with pikepdf.open(io.BytesIO(made)) as document:
        yield document


def words_of(content: bytes) -> list[str]:
    """The text of each page, without the kinds of spaces that typography wants."""
    return [" ".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(content)).pages]


def test_it_is_archivable_and_says_what_is_inside(opened: pikepdf.Pdf) -> None:
    [intent] = opened.Root.OutputIntents
    assert (str(intent.S), "/DestOutputProfile" in intent) == ("/GTS_PDFA1", True)
    metadata = opened.open_metadata()
    assert (metadata["pdfaid:part"], metadata["pdfaid:conformance"]) == ("3", "U")
    assert (metadata[f"{XMP}DocumentFileName"], metadata[f"{XMP}ConformanceLevel"]) == ("factur-x.xml", "EN 16931")
    assert bytes(opened.Root.Metadata.read_bytes()).count(b"<rdf:RDF") == 1
    assert (bool(opened.Root.MarkInfo.Marked), str(opened.Root.Lang)) == (True, "fr")


def test_its_xml_is_attached_as_factur_x_wants(opened: pikepdf.Pdf) -> None:
    assert list(opened.attachments) == ["factur-x.xml"]
    assert opened.attachments["factur-x.xml"].get_file().read_bytes() == xml_of(invoice())
    [named] = opened.Root.AF
    assert (str(named.AFRelationship), str(named.EF.F.Subtype)) == ("/Alternative", "/text/xml")


def test_every_font_is_embedded(opened: pikepdf.Pdf) -> None:
    fonts: list[Any] = [one for page in opened.pages for one in page.Resources.Font.values()]
    assert fonts
    for font in fonts:
        [within] = font.DescendantFonts
        assert any(name in within.FontDescriptor for name in ("/FontFile2", "/FontFile3"))
        assert "/ToUnicode" in font


def test_the_same_contents_give_the_same_bytes(made: bytes) -> None:
    assert hashlib.sha256(render_pdf(invoice())).digest() == hashlib.sha256(made).digest()


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("fr", ["Facture", "Facturé à", "À payer", "1 234 567", "0,90 € le million", "1,1111103 €", "octobre 2026"]),
        ("en", ["Invoice", "Billed to", "To pay", "1,234,567", "€0.90 a million", "€1.1111103", "October 2026"]),
        ("es", ["Factura", "Facturado a", "A pagar", "1.234.567", "0,90 € por millón", "octubre de 2026"]),
    ],
)
def test_it_is_in_the_language_of_the_invoice(made: bytes, language: str, words: list[str]) -> None:
    [page] = words_of(made if language == "fr" else render_pdf(invoice(language=language)))
    for said in (*words, "F2026-000042", "Imprimerie Leclerc & Fils <Nord>", "Chat <assistant> & co", "PO-2026-118"):
        assert said in page


def test_a_long_invoice_repeats_its_head_and_counts_its_pages() -> None:
    lines = [usage_line(at, project=f"Project {at // 10}") for at in range(1, 201)]
    pages = words_of(render_pdf(invoice(lines, language="en")))
    assert len(pages) > 5
    assert all(f"Page {at} / {len(pages)}" in page for at, page in enumerate(pages, 1))
    assert all("Exact amount" in page for page in pages[:-1])


def test_paper_shows_the_sums_of_an_invoice_that_is_too_long_for_it() -> None:
    contents = invoice([usage_line(at, project=f"Project {at // 2000}") for at in range(1, 10_001)], language="en")
    page = html_of(contents)
    assert page.count("2000 lines") == 4
    assert "in the XML inside this file" in page
    assert "llama-3.1-8b" not in page


def test_a_credit_note_names_its_invoice_and_asks_for_no_money() -> None:
    [page] = words_of(render_pdf(credit_note()))
    assert "F2026-000042 du 2 novembre 2026" in page
    assert "IBAN" not in page


def test_a_statement_has_no_vat_and_no_xml() -> None:
    made = render_pdf(statement(language="en"))
    [page] = words_of(made)
    assert "It is not an invoice" in page
    assert "Total before VAT" not in page
    with pikepdf.open(io.BytesIO(made)) as document:
        assert not document.attachments


def test_a_payer_is_billed_for_whom_it_pays() -> None:
    page = html_of(invoice(payer=PAYER, language="en"))
    assert page.index("Groupe Écluse Holding") < page.index("For the service used by Imprimerie")


def test_a_name_that_is_markup_stays_a_name(dressed: bytes) -> None:
    assert '<img src="file:///etc/passwd"><style>' in words_of(dressed)[0]


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "http://127.0.0.1/", "beffroi:font/../../x", "beffroi:other", "data:text/css,x"]
)
def test_the_page_can_read_nothing_that_is_not_ours(address: str) -> None:
    fetch = make_pdf._fetcher({"logo": ""}, settings.BASE_DIR / pdf._FONTS).fetch
    assert fetch("beffroi:logo").status == 200
    with pytest.raises(ValueError, match="not ours"):
        fetch(address)


def test_the_logo_of_the_service_is_shown(dressed: bytes) -> None:
    assert "beffroi:logo" in html_of(invoice(), has_logo=True)
    with pikepdf.open(io.BytesIO(dressed)) as document:
        assert len(document.pages[0].Resources.XObject) == 1


def test_the_banks_code_holds_the_transfer() -> None:
    assert pdf._code_for_banks(invoice()).startswith(b"<svg")
    paid: InvoiceContents = replace(invoice(), due_cents=0)
    assert (pdf._code_for_banks(paid), pdf._code_for_banks(credit_note())) == (b"", b"")


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that finds no Pango: what it finds first is none."""
    for name in ("libpango-1.0.so.0", "libpangoft2-1.0.so.0"):
        (tmp_path / name).write_bytes(b"")
    return {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(tmp_path)}


def test_a_process_without_the_libraries_names_them_and_draws_nothing(bare: dict[str, str]) -> None:
    code = "from billing.invoices.document.libraries import missing_libraries; print(*missing_libraries())"
    told = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["libpango-1.0-0", "libpangoft2-1.0-0"]
    command = [sys.executable, "-m", "billing.invoices.document.make_pdf", "."]
    done = subprocess.run(command, env=bare, input=b"{}", capture_output=True, check=False)
    assert done.returncode == make_pdf.LIBRARIES_MISSING
    assert b"%PDF" not in done.stdout


def test_a_machine_without_the_libraries_is_told_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "missing_libraries", lambda: ("libpango-1.0-0",))
    with pytest.raises(LibrariesMissing, match="libpango"):
        render_pdf(statement())


def test_a_drawing_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "SECONDS", 0.05)
    with pytest.raises(NoPdf, match="longer"):
        render_pdf(statement())


def test_the_fonts_are_there_with_their_licence() -> None:
    folder = Path(settings.BASE_DIR / pdf._FONTS)
    assert "SIL Open Font License" in (folder.parent / "LICENSE").read_text()
