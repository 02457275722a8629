"""A ledger to call, for the tests that call its functions themselves."""

from collections.abc import Iterator

import pytest

from tests.billing.raw_ledger import RawLedger


@pytest.fixture
def ledger(database: None, gateway_database_url: str) -> Iterator[RawLedger]:
    """An incarnation of its own."""
    ledger = RawLedger.open(gateway_database_url)
    try:
        yield ledger
    finally:
        ledger.close()
