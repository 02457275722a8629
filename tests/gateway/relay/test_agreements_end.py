"""An agreement ends at its instant: at running gateways no request after it is charged by what was agreed."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.contracts.agreements import AgreementWish, put_agreement
from billing.contracts.contracts import contract_in_force
from billing.models import Agreement, Contract, Tier
from billing.prices.price_book import add_rate_card
from tests.gateway.relay.bills import house_served_by, records_of
from tests.gateway.relay.conftest import Scene
from tests.support.ledger import House, make_price, unique
from tests.support.load import Load, chat
from tests.support.operators import RUNS
from tests.support.people import TESTS

AHEAD = timedelta(seconds=1.5)


@pytest.fixture
def house(scene: Scene) -> House:
    """A tenant of its own whose model the engine serves."""
    return house_served_by(scene.gateway, scene.engine)


def test_the_end_of_an_agreement_is_exact_under_load_and_fails_no_request(scene: Scene, house: House) -> None:
    before = contract_in_force(house.tenant)
    assert before is not None
    Tier.objects.filter(pk=before.tier_id).update(rate_card=before.rate_card)
    own = add_rate_card(name=unique("own"), actor=TESTS)
    half = make_price(own, house.model, {"input": 75_000_000, "output": 300_000_000})
    put_agreement(by=RUNS, tenant=house.tenant, wish=AgreementWish(rate_card=own.name))
    agreed = contract_in_force(house.tenant)
    assert agreed is not None
    key = house.key()
    scene.gateway.await_key(key.text)
    asks = [chat(house.model.name, key.text, stream=n % 2 == 0) for n in range(4)]
    with Load(scene.gateway.http_connection, asks) as load:
        load.wait_for_more(10)
        at = timezone.now() + AHEAD
        Agreement.objects.filter(contracts=agreed).update(ends_at=at)
        Contract.objects.filter(pk=agreed.pk).update(turns_at=at)
        while timezone.now() < at + timedelta(seconds=0.5):
            load.wait_for_more(5)
    assert load.failures == []
    following = contract_in_force(house.tenant)
    assert following is not None
    assert (following.starts_at, following.rate_card_id) == (at, before.rate_card_id)
    records = records_of(key.row)
    after = [record for record in records if record.admitted_at >= at]
    assert {(one.contract_id, one.price_version_id) for one in after} == {(following.pk, house.price_version.pk)}
    cheap = [record for record in records if record.price_version_id == half.pk]
    assert cheap
    assert {record.contract_id for record in cheap} == {agreed.pk}
