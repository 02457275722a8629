"""The FinOps Foundation's own validator finds nothing in our files. Its environment is made by hand: validator.py."""

from pathlib import Path

import pyarrow.parquet  # type: ignore[import-untyped]
import pytest

from billing.pricing import Quantities
from tests.billing.focus.validator import is_prepared, violations
from tests.support.exported import make
from tests.support.ledger import ledger_gateway, make_house

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.skipif(not is_prepared(), reason="python -m tests.billing.focus.validator prepare"),
]


def test_X2_the_validator_of_the_finops_foundation_finds_nothing(gateway_database_url: str, tmp_path: Path) -> None:
    house = make_house()
    key = house.key().row
    with ledger_gateway(gateway_database_url) as gateway:
        for number in range(5):
            gateway.complete(house, key, Quantities(input=101 + number, cached=7, output=33, reasoning=5))
        small = gateway.admit(house, key, input_tokens=10, output_tokens=10)
        gateway.settle(house, small.request_id, Quantities(input=10, output=20))
    file = tmp_path / "focus.parquet"
    file.write_bytes(make(house, "focus", "parquet").data)
    assert violations(file) == {}

    broken = pyarrow.parquet.read_table(file).drop_columns(["BilledCost"])
    pyarrow.parquet.write_table(broken, file)
    assert "CostAndUsage-D-006-M" in violations(file), "it finds what is wrong"
