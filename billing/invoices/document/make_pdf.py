"""Makes the PDF of an invoice, in a process of its own: `python -m billing.invoices.document.make_pdf FONTS_FOLDER`.

Reads JSON from its input: `html`, `style`, `files` (name to base64: what the page may show), and, for an invoice, `xml`
and `xmp`, which go in. Writes the PDF (PDF/A-3). It reads no file but the fonts and asks nobody: an address in a name
of a firm, or in a picture, leads nowhere. Whoever starts this sets the limit of time.
"""

import base64
import json
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CPU_SECONDS = 240
MEMORY_BYTES = 3 * 2**30
# What it ends with where the system lacks the libraries that draw text.
LIBRARIES_MISSING = 3
SCHEME = "beffroi:"
_FONT = "font/"


def main() -> int:
    """The PDF on the output."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    task = json.load(sys.stdin)
    try:
        import weasyprint  # noqa: F401
    except OSError as error:
        sys.stderr.write(str(error))
        return LIBRARIES_MISSING
    sys.stdout.buffer.write(pdf_of(task, Path(sys.argv[1])))
    return 0


def pdf_of(task: dict[str, Any], fonts: Path) -> bytes:
    """The PDF; the same task gives the same bytes."""
    from weasyprint import CSS, HTML, Attachment
    from weasyprint.text.fonts import FontConfiguration

    fetcher = _fetcher(task["files"], fonts)
    known = FontConfiguration()
    style = CSS(string=task["style"], url_fetcher=fetcher, font_config=known)
    page = HTML(string=task["html"], base_url=SCHEME, url_fetcher=fetcher)
    options: dict[str, Any] = {"pdf_variant": "pdf/a-3u", "pdf_tags": True, "pdf_identifier": task["id"].encode()}
    if task.get("xml"):
        when = datetime.fromisoformat(task["issued_on"]).replace(tzinfo=UTC)
        options["attachments"] = [
            Attachment(
                string=task["xml"],
                name="factur-x.xml",
                description="Factur-X",
                created=when,
                modified=when,
                relationship="Alternative",
            )
        ]
    made: bytes = page.write_pdf(stylesheets=[style], font_config=known, finisher=_finisher(task), **options)
    return made


def _fetcher(files: dict[str, str], fonts: Path) -> Any:
    from weasyprint.urls import URLFetcher, URLFetcherResponse

    allowed = {path.name for path in fonts.iterdir()}

    class OnlyOurs(URLFetcher):  # type: ignore[misc]
        """Gives what came with the task, and fonts; everything else is refused."""

        def fetch(self, url: str, headers: object = None) -> Any:
            """Raises ValueError for what is not ours."""
            del headers
            name = url.removeprefix(SCHEME)
            if name.startswith(_FONT) and name.removeprefix(_FONT) in allowed:
                return URLFetcherResponse(url, (fonts / name.removeprefix(_FONT)).read_bytes())
            if url.startswith(SCHEME) and name in files:
                return URLFetcherResponse(url, base64.b64decode(files[name]))
            raise ValueError(f"not ours: {url[:100]}")

    return OnlyOurs()


def _finisher(task: dict[str, Any]) -> Any:
    """Says in the metadata that there is a Factur-X inside, and names the attachment once and as text/xml."""

    def finish(_document: object, pdf: Any) -> None:
        if not task.get("xml"):
            return
        metadata = next(one for one in pdf.objects if getattr(one, "reference", None) == pdf.catalog["Metadata"])
        whole = b"".join(part if isinstance(part, bytes) else part.encode() for part in metadata.stream)
        metadata.stream = [whole.replace(b"</rdf:RDF>", task["xmp"].encode() + b"</rdf:RDF>")]
        pdf.catalog["AF"][:] = dict.fromkeys(pdf.catalog["AF"])
        for one in pdf.objects:
            extra = getattr(one, "extra", None) or {}
            if extra.get("Type") == "/EmbeddedFile":
                extra["Subtype"] = "/text#2fxml"

    return finish


if __name__ == "__main__":
    sys.exit(main())
