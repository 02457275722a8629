"""What is said of the service, for the time of a test: there is one row, and everybody's pages show it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Unpack

from identity.models import Service
from identity.service import change_service, forget_service
from identity.service_fields import ServiceChanges
from tests.support.operators import RUNS


@contextmanager
def service_said(**changes: Unpack[ServiceChanges]) -> Iterator[None]:
    """Said at the beginning, and all of the row as it was at the end."""
    before = Service.objects.filter(is_the_one=True).values().first()
    try:
        if changes:
            change_service(by=RUNS, **changes)
        yield
    finally:
        Service.objects.filter(is_the_one=True).delete()
        if before:
            Service.objects.create(**before)
        forget_service()
