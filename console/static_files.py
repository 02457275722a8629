"""Which files of packages the pages use: these and no others are served."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import drf_spectacular_sidecar
from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage
from whitenoise.storage import CompressedManifestStaticFilesStorage

_NPM = settings.BASE_DIR / "node_modules"
_SWAGGER = Path(drf_spectacular_sidecar.__file__).parent / "static/drf_spectacular_sidecar/swagger-ui-dist"
PACKAGE_FILES = {
    "tabler/tabler.min.css": _NPM / "@tabler/core/dist/css/tabler.min.css",
    "htmx/htmx.min.js": _NPM / "htmx.org/dist/htmx.min.js",
    "uplot/uPlot.iife.min.js": _NPM / "uplot/dist/uPlot.iife.min.js",
    "uplot/uPlot.min.css": _NPM / "uplot/dist/uPlot.min.css",
    "swagger/swagger-ui.css": _SWAGGER / "swagger-ui.css",
    "swagger/swagger-ui-bundle.js": _SWAGGER / "swagger-ui-bundle.js",
}


class CollectedStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """WhiteNoise's, which follows each reference in a style but that to its source map: we serve none."""

    patterns = (("*.css", CompressedManifestStaticFilesStorage.patterns[0][1][:2]),)


class PackageStorage(FileSystemStorage):
    """The packages' files, under our own names."""

    def path(self, name: str) -> str:
        """Where the file of that name lies."""
        return str(PACKAGE_FILES[name])


class PackageFinder(BaseFinder):
    """Finds the files of PACKAGE_FILES."""

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        self._storage = PackageStorage()

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
