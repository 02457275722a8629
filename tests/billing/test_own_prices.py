"""Own prices for some models in one act: a list of the organisation's own, and an agreement that names it."""

import pytest

from billing.contracts.agreements import AgreementWish, agreements_of, end_agreement, put_agreement
from billing.contracts.contracts import contract_in_force
from billing.contracts.own_prices import plan_own_prices, put_own_prices
from billing.contracts.sheet import prices_left_behind
from billing.models import Contract, RateCard, Tier
from billing.prices.changes import Outcome, PriceWish, ShortNotice
from billing.prices.price_book import price_in_force, prices_of
from identity.errors import Forbidden, Invalid
from identity.models import Tenant
from identity.operators import Operator
from identity.permissions import OperatorPermission
from models_catalog.models import LanguageModel
from tests.support.ledger import PRICES, House, ledger_gateway, make_house, make_model, make_price
from tests.support.operators import RUNS

pytestmark = pytest.mark.usefixtures("database")
CHEAP = {"input": 1_000_000, "output": 2_000_000}


@pytest.fixture
def house() -> House:
    """A house that pays what its tier says."""
    house = make_house()
    contract = running(house.tenant)
    Tier.objects.filter(pk=contract.tier_id).update(rate_card=contract.rate_card)
    return house


def running(tenant: Tenant) -> Contract:
    contract = contract_in_force(tenant)
    assert contract is not None
    return contract


def costs(tenant: Tenant, model: LanguageModel) -> dict[str, int]:
    version = price_in_force(rate_card=running(tenant).rate_card, model=model)
    assert version is not None
    return dict(prices_of(version).nano_eur_per_million)


def put(house: House, prices: dict[str, int] = CHEAP) -> list[Outcome]:
    wishes = [PriceWish(house.model.name, prices)]
    return [plan.outcome for plan in put_own_prices(by=RUNS, tenant=house.tenant, wishes=wishes)]


def test_a_model_gets_its_own_price_the_others_cost_what_they_did(house: House, gateway_database_url: str) -> None:
    before, other = running(house.tenant).rate_card, make_model()
    make_price(before, other)
    plans, short = plan_own_prices(by=RUNS, tenant=house.tenant, wishes=[PriceWish(house.model.name, CHEAP)])
    assert (plans[0].old, short) == (PRICES, None)
    assert put(house) == [Outcome.ADDED]
    assert (costs(house.tenant, house.model), costs(house.tenant, other)) == (CHEAP, PRICES)
    neighbour = price_in_force(rate_card=before, model=house.model)
    assert neighbour is not None
    assert dict(prices_of(neighbour).nano_eur_per_million) == PRICES
    with ledger_gateway(gateway_database_url) as gateway:
        assert gateway.admit(house, house.key().row).verdict == "stale"  # at the price of before
    end_agreement(by=RUNS, tenant=house.tenant, agreement_id=agreements_of(house.tenant)[0].pk)
    assert costs(house.tenant, house.model) == PRICES


def test_its_own_list_is_changed_and_not_made_again_and_what_else_is_agreed_stays(house: House) -> None:
    put_agreement(by=RUNS, tenant=house.tenant, wish=AgreementWish(reference="C-9", is_cap_agreed=True))
    put(house)
    own = running(house.tenant).rate_card
    assert put(house, {"input": 3, "output": 4}) == [Outcome.ADDED]
    assert put(house, {"input": 3, "output": 4}) == [Outcome.SAME]
    contract = running(house.tenant)
    assert contract.rate_card == own
    assert contract.agreement is not None
    assert (contract.agreement.reference, contract.agreement.is_cap_agreed) == ("C-9", True)
    assert costs(house.tenant, house.model) == {"input": 3, "output": 4}


def test_a_price_that_makes_no_sense_leaves_no_list_behind(house: House) -> None:
    wishes = [PriceWish(house.model.name, CHEAP), PriceWish("no such model", CHEAP)]
    plans = put_own_prices(by=RUNS, tenant=house.tenant, wishes=wishes)
    assert [plan.outcome for plan in plans] == [Outcome.ADDED, Outcome.REFUSED]
    with pytest.raises(Invalid):
        put_own_prices(by=RUNS, tenant=house.tenant, wishes=[])
    assert agreements_of(house.tenant) == []
    assert running(house.tenant).rate_card == house.price_version.rate_card
    assert RateCard.objects.filter(name__contains=house.tenant.slug).count() == 0


def test_own_prices_that_rise_take_a_reason_and_without_one_leave_nothing_behind(house: House) -> None:
    dear = [PriceWish(house.model.name, {"input": 10**9, "output": 10**9})]
    assert plan_own_prices(by=RUNS, tenant=house.tenant, wishes=dear)[1] == ShortNotice(0, 30)
    for attempt in ("before it has a list", "on its own list"):
        with pytest.raises(Invalid, match="write down why"):
            put_own_prices(by=RUNS, tenant=house.tenant, wishes=dear)
        assert (RateCard.objects.filter(name__contains=house.tenant.slug).count() > 0) == (attempt == "on its own list")
        put(house)
    put_own_prices(by=RUNS, tenant=house.tenant, wishes=dear, reason="more support")
    version = price_in_force(rate_card=running(house.tenant).rate_card, model=house.model)
    assert version is not None
    assert version.reason == "more support"


def test_its_own_list_tells_how_many_prices_of_the_tiers_it_did_not_follow(house: House) -> None:
    of_tier = running(house.tenant).rate_card
    assert prices_left_behind(running(house.tenant)) is None
    put(house)
    assert prices_left_behind(running(house.tenant)) == 0
    make_price(of_tier, make_model())
    put(house, {"input": 3, "output": 4})
    assert prices_left_behind(running(house.tenant)) == 1
    end_agreement(by=RUNS, tenant=house.tenant, agreement_id=agreements_of(house.tenant)[0].pk)
    assert prices_left_behind(running(house.tenant)) is None


def test_it_takes_both_permissions(house: House) -> None:
    for one in (OperatorPermission.PRICE_UPDATE, OperatorPermission.CONTRACT_UPDATE):
        by = Operator(RUNS.actor, frozenset({one}))
        with pytest.raises(Forbidden):
            put_own_prices(by=by, tenant=house.tenant, wishes=[PriceWish(house.model.name, CHEAP)])
