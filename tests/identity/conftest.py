"""The operator's collectors, for the time of a test."""

from collections.abc import Callable, Iterator

import pytest

from identity.log_exports import ExportSettings, Protocol, add_export, remove_export
from identity.models import LogExport
from tests.support.operators import RUNS

Add = Callable[..., LogExport]


@pytest.fixture
def add(database: None) -> Iterator[Add]:
    """Adds a collector for the time of the test."""
    added: list[int] = []

    def make(protocol: Protocol, address: str, *, from_beginning: bool = False, **more: object) -> LogExport:
        settings = ExportSettings(name="SIEM", protocol=protocol, address=address, **more)  # type: ignore[arg-type]
        export = add_export(by=RUNS, settings=settings, from_beginning=from_beginning)
        added.append(export.pk)
        return export

    yield make
    for pk in added:
        if LogExport.objects.filter(pk=pk).exists():
            remove_export(by=RUNS, export_id=pk)
