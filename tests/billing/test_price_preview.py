"""What other prices would have made of last month's usage, from the sums a day."""

import os
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from django.utils import timezone

from billing.prices.preview import Preview, PriceChange, preview_prices
from billing.pricing import METERS, Quantities
from tests.support.ledger import PRICES, House, make_house, unique
from tests.support.people import make_tenant

pytestmark = pytest.mark.usefixtures("database")
DOUBLE = {meter: 2 * price for meter, price in PRICES.items()}


@pytest.fixture
def house() -> House:
    return make_house()


def last_month(day: int = 3) -> datetime:
    first = timezone.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first - timedelta(days=1)).replace(day=day)


def use(house: House, quantities: Quantities, at: datetime, mode: str = "standard") -> None:
    """A sum of a day, as the ledger writes it."""
    columns = [f"{meter}_quantity" for meter in METERS]
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute(
            f"insert into billing_usage_day (day, tenant_id, project_id, model_id, mode, requests, failed_requests,"
            f" {', '.join(columns)}, cost_nano_eur, uncharged_nano_eur)"
            f" values (%s, %s, %s, %s, %s, 10, 0, {', '.join(['%s'] * len(columns))}, 1, 0)",
            [at, house.tenant.pk, house.project.pk, house.model.pk, mode, *quantities],
        )


def change(house: House, new: dict[str, int], mode: str = "standard") -> PriceChange:
    return PriceChange(house.model.pk, house.model.name, mode, PRICES, new)


def preview(house: House, *changes: PriceChange) -> Preview:
    return preview_prices(house.price_version.rate_card, changes)


def test_last_month_is_counted_at_both_prices(house: House) -> None:
    use(house, Quantities(input=2_000_000, output=1_000_000), last_month())
    use(house, Quantities(cached=1_000_000), last_month(9))
    shown = preview(house, change(house, DOUBLE))
    old = 2 * PRICES["input"] + PRICES["output"] + PRICES["cached"]
    assert (shown.old_nano_eur, shown.new_nano_eur, shown.more_nano_eur, shown.requests) == (old, 2 * old, old, 20)
    [one] = shown.tenants
    assert (one.slug, one.more_nano_eur) == (house.tenant.slug, old)
    assert shown.first == last_month(1).date()
    assert shown.last == date.fromordinal(shown.first.toordinal() + 27) or shown.last.month == shown.first.month


def test_only_that_month_that_list_that_mode_and_those_who_pay_by_it_count(house: House) -> None:
    first = last_month(1)
    use(house, Quantities(input=10**6), first - timedelta(days=1))
    use(house, Quantities(input=10**6), (first + timedelta(days=32)).replace(day=1))
    use(house, Quantities(input=10**6), last_month(), mode="batch")
    other = make_house(model=house.model)
    use(other, Quantities(input=10**6), last_month())
    assert preview(house, change(house, DOUBLE)).tenants == []
    assert preview(house, change(house, DOUBLE, mode="batch")).old_nano_eur == PRICES["input"]
    assert preview(house).tenants == []


def test_a_price_that_would_be_missing_is_named_and_not_guessed(house: House) -> None:
    use(house, Quantities(input=10**6, output=10**6), last_month())
    shown = preview(house, change(house, {"input": 1}))
    assert shown.unpriced == [(house.model.name, "output")]
    assert (shown.old_nano_eur, shown.new_nano_eur) == (0, 0)


def test_the_greatest_difference_stands_first(house: House) -> None:
    small = make_tenant(unique("small"))
    contract = house.tenant.contracts.get()
    small.contracts.create(tier=contract.tier, rate_card=contract.rate_card, starts_at=timezone.now())
    little = House(small, small.projects.get(), house.model, house.price_version, house.prices)
    use(little, Quantities(input=5), last_month())
    use(house, Quantities(input=10**6), last_month())
    assert [one.slug for one in preview(house, change(house, DOUBLE)).tenants] == [house.tenant.slug, small.slug]


def test_a_model_without_a_price_until_then_cost_nothing(house: House) -> None:
    use(house, Quantities(input=10**6), last_month())
    new = PriceChange(house.model.pk, house.model.name, "standard", None, {"input": 7})
    assert preview(house, new).tenants[0].more_nano_eur == 7
