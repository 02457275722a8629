"""The texts that people read, in each language: found in the code, kept in `locale/`, compiled for Django.

English is written in the code itself. `locale/<language>/LC_MESSAGES/django.po` holds the others, in the order of the
English texts, without the places that they come from, so that a change of code is no change of them.
"""

import os
import re
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "locale"
LANGUAGES = ("fr", "es")
PACKAGES = ("identity", "models_catalog", "billing", "gateway", "console")
_LAZY = {f"{name}_lazy": DEFAULT_KEYWORDS[name] for name in ("gettext", "ngettext", "pgettext", "npgettext")}
_KEYWORDS = {**DEFAULT_KEYWORDS, **_LAZY, "gettext_noop": None}
_PLACEHOLDERS = re.compile(r"%\((\w+)\)[sd]|\{(\w*)\}|%[sd]|</?(\w+)")


def texts_in_code() -> Catalog:
    """Every marked text of the packages and the templates."""
    catalog = Catalog()
    for text, context in _found():
        catalog.add(text, context=context)
    return catalog


def read(language: str) -> Catalog:
    """What is translated; empty for a new language."""
    path = _source(language)
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update(language: str) -> int:
    """Bring the language's file to what the code says: new texts are added empty, those gone are dropped.

    Returns: how many have no translation.
    """
    known, catalog = read(language), Catalog(locale=language, charset="utf-8")
    for message in texts_in_code():
        if message.id:
            before = known.get(message.id, message.context)
            catalog.add(message.id, before.string if before else None, context=message.context)
    path = _source(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalog, sort_output=True, omit_header=True, no_location=True, width=120)
    return len(untranslated(language))


def untranslated(language: str) -> list[str]:
    """The English texts of the code that the language has no words for."""
    known = read(language)
    return [_id(message) for message in texts_in_code() if message.id and not _is_complete(known, message)]


def odd_placeholders(language: str) -> list[str]:
    """The English texts whose translation names other placeholders or elements: it would break or say less."""
    return [_id(message) for message in read(language) if message.id and not _agrees(message)]


def compile_all(target: Path = LOCALE) -> None:
    """Write what Django reads, where it is older than its source or not there."""
    for language in LANGUAGES:
        source, compiled = _source(language), target / language / "LC_MESSAGES/django.mo"
        if compiled.exists() and compiled.stat().st_mtime_ns >= source.stat().st_mtime_ns:
            continue
        compiled.parent.mkdir(parents=True, exist_ok=True)
        written = BytesIO()
        write_mo(written, read(language))
        unfinished = compiled.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes(written.getvalue())
        unfinished.replace(compiled)


def _source(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES/django.po"


def _found() -> Iterator[tuple[str | tuple[str, ...], str | None]]:
    for path in _files("*.py", *(ROOT / package for package in PACKAGES)):
        yield from _extracted(path.read_bytes())
    for path in _files("*.html", ROOT / "templates"):
        yield from _extracted(templatize(path.read_text(encoding="utf-8"), origin=str(path)).encode())


def _files(pattern: str, *folders: Path) -> Iterable[Path]:
    return sorted(path for folder in folders for path in folder.rglob(pattern) if "migrations" not in path.parts)


def _extracted(source: bytes) -> Iterator[tuple[str | tuple[str, ...], str | None]]:
    for _line, text, _comments, context in extract("python", BytesIO(source), keywords=_KEYWORDS):
        yield text, context


def _id(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def _is_complete(known: Catalog, message: Message) -> bool:
    found = known.get(message.id, message.context)
    if found is None or found.fuzzy:
        return False
    return all(found.string) if isinstance(found.string, tuple | list) else bool(found.string)


def _agrees(message: Message) -> bool:
    wanted = [set(_PLACEHOLDERS.findall(text)) for text in _forms(message.id)]
    given = [set(_PLACEHOLDERS.findall(text)) for text in _forms(message.string) if text]
    return all(one in wanted for one in given)


def _forms(texts: str | Iterable[str] | None) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts or ())
