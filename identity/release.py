"""Which release this is."""

import re
from functools import lru_cache
from pathlib import Path

_CHANGELOG = Path(__file__).resolve().parent.parent / "CHANGELOG.md"


@lru_cache
def version() -> str:
    """The newest heading of the changelog; "" where that says "Unreleased"."""
    found = re.search(r"^## (\d\S*)", _CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)
    first = re.search(r"^## (\S+)", _CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found and first and found[1] == first[1] else ""
