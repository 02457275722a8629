"""Which files of npm's packages the pages use: these and no others are served."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage

PACKAGE_FILES = {
    "tabler/tabler.min.css": "@tabler/core/dist/css/tabler.min.css",
    "htmx/htmx.min.js": "htmx.org/dist/htmx.min.js",
    "uplot/uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uplot/uPlot.min.css": "uplot/dist/uPlot.min.css",
}


class PackageStorage(FileSystemStorage):
    """The packages' folder, under our own names."""

    def path(self, name: str) -> str:
        """Where the file of that name lies."""
        return super().path(PACKAGE_FILES[name])


class PackageFinder(BaseFinder):
    """Finds the files of PACKAGE_FILES in node_modules."""

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        self._storage = PackageStorage(location=settings.BASE_DIR / "node_modules")

    def check(self, **_kwargs: Any) -> list[Any]:
        """Nothing to complain of: a missing file is a 404."""
        return []

    def find(self, path: str, find_all: bool = False, **_kwargs: Any) -> Any:  # noqa: FBT001, FBT002  # Django's signature
        """The file's place; an empty list where it is none of ours."""
        found = [self._storage.path(path)] if path in PACKAGE_FILES else []
        return found if find_all or not found else found[0]

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, PackageStorage]]:
        """All of them."""
        yield from ((name, self._storage) for name in PACKAGE_FILES)
