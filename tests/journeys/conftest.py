"""One installation for all journeys: each goes on where the one before has left it."""

import json
from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.journeys.bill import Bill
from tests.support.installation import Installation


@pytest.fixture(scope="session")
def beffroi() -> Iterator[Installation]:
    """All of Beffroi, as `make up` starts it, with two gateways."""
    with Installation() as installation:
        yield installation


@pytest.fixture(scope="session")
def keys(beffroi: Installation) -> dict[str, str]:
    """Keys that something forbids, by what it is: see keys.py."""
    file = beffroi.folder / "keys.json"
    beffroi.manage("shell", "--no-imports", "-c", f"from tests.journeys import keys; keys.make({str(file)!r})")
    texts: dict[str, str] = json.loads(file.read_text())
    return texts


@pytest.fixture
def bill(beffroi: Installation) -> Iterator[Bill]:
    """Every request of the test has to be shown: else the budgets do not add up at its end."""
    bill = Bill(beffroi)
    yield bill
    bill.close()


@pytest.fixture
def client(beffroi: Installation, bill: Bill) -> Iterator[OpenAI]:
    """OpenAI's own client, of which only address and key were changed."""
    with OpenAI(base_url=beffroi.base_url, api_key=beffroi.demo["api_key"]) as client:
        yield client
