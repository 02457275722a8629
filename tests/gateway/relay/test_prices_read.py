"""What a gateway reads of prices: by its own role, as the ledger will bill them."""

import time

import psycopg
import pytest

from billing.prices.changes import PriceWish, put_prices
from billing.pricing import Prices
from gateway.relay.catalog_reader import PRICES_QUERY, prices_by_model
from tests.support.ledger import PRICES, make_house, make_model
from tests.support.operators import RUNS

pytestmark = pytest.mark.usefixtures("database")


def test_a_gateway_knows_how_a_price_counts_audio(gateway_database_url: str) -> None:
    house, voice = make_house(), make_model(kind="transcription")
    card = house.price_version.rate_card
    wish = PriceWish(voice.name, {"audio_ms": 200}, audio_by_started_minute=True)
    put_prices(by=RUNS, rate_card=card, wishes=[wish])
    with psycopg.connect(gateway_database_url) as gateway:
        known = prices_by_model(gateway.execute(PRICES_QUERY).fetchall())
    soon = time.time() + 60
    by_minute, exact = (known[model.pk][card.pk, "standard"].at(soon) for model in (voice, house.model))
    assert by_minute is not None
    free = {"input": 0, "output": 0}
    assert by_minute == Prices(by_minute.version_id, free | {"audio_ms": 200}, audio_by_started_minute=True)
    assert exact == Prices(house.price_version.pk, PRICES)
