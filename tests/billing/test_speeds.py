"""Measured speeds: medians of today's streamed answers, and nothing where there are too few."""

from collections.abc import Iterator

import pytest
from django.utils import timezone

from billing.pricing import Quantities
from billing.usage.speeds import FEWEST, measured_speeds
from tests.support.ledger import HeldKey, House, LedgerGateway, ledger_gateway, make_house

LONG = Quantities(input=10, output=50)


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


@pytest.fixture
def house(database: None) -> House:
    return make_house()


def answer(
    gateway: LedgerGateway, house: House, key: HeldKey, *, ttft: int | None, ms: int, stream: bool = True,
    quantities: Quantities = LONG, status: str = "completed",
) -> None:  # fmt: skip
    admitted = gateway.admit(house, key.row, stream=stream)
    gateway.settle(house, admitted.request_id, quantities, ttft_ms=ttft, duration_ms=ms, status=status)


def test_T1_medians_are_of_streamed_answers_that_completed(gateway: LedgerGateway, house: House) -> None:
    key = house.key()
    for ttft in range(100, 100 + FEWEST + 1):
        answer(gateway, house, key, ttft=ttft, ms=ttft + 500)
    answer(gateway, house, key, ttft=90_000, ms=90_001, status="client_left")
    answer(gateway, house, key, ttft=None, ms=90_000, stream=False)
    answer(gateway, house, key, ttft=110, ms=111, quantities=Quantities(input=1, output=1))  # three tokens are chance
    speed = measured_speeds(timezone.now())[house.model.pk]
    assert (speed.first_token_ms, speed.first_token_requests) == (110, FEWEST + 2)
    assert (speed.tokens_per_second, speed.pace_requests) == (100.0, FEWEST + 1)


def test_T1_nothing_is_said_of_too_few(gateway: LedgerGateway, house: House) -> None:
    key = house.key()
    for _ in range(FEWEST - 1):
        answer(gateway, house, key, ttft=100, ms=600)
    speed = measured_speeds(timezone.now())[house.model.pk]
    assert (speed.first_token_ms, speed.tokens_per_second) == (None, None)
