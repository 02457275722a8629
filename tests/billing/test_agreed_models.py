"""Models that an organisation sees by agreement, exactly for its time; tiers compared beside what is agreed."""

import pytest
from django.utils import timezone

from billing.contracts.agreements import AgreementWish, put_agreement
from billing.contracts.tier_comparison import compare_tiers
from billing.models import Agreement, RateCard, Tier
from billing.prices.price_book import add_rate_card
from billing.prices.visibility import tenants_that_see, visible_model
from billing.tenants.changes import contract_change
from identity.errors import Invalid
from identity.models import AuditEvent
from models_catalog.models import LanguageModel
from tests.support.ledger import House, make_house, make_model, unique
from tests.support.operators import RUNS
from tests.support.people import TESTS, make_tenant

pytestmark = pytest.mark.usefixtures("database")
EUR = 10**9


@pytest.fixture
def house() -> House:
    return make_house()


@pytest.fixture
def model() -> LanguageModel:
    """One that somebody else sees."""
    return make_model(visibility="chosen", visible_tenants=[make_tenant().pk], published_at=timezone.now())


def agree(house: House, wish: AgreementWish) -> tuple[Agreement, bool]:
    return put_agreement(by=RUNS, tenant=house.tenant, wish=wish)


def test_a_model_is_seen_as_long_as_that_is_agreed(house: House, model: LanguageModel) -> None:
    assert visible_model(house.tenant, model.name) is None
    agreement, _ = agree(house, AgreementWish(models=[model.name]))
    assert agree(house, AgreementWish(models=[model.name])) == (agreement, False)
    assert visible_model(house.tenant, model.name) == model
    assert house.tenant in tenants_that_see(model)
    Agreement.objects.filter(pk=agreement.pk).update(ends_at=timezone.now())  # nothing has turned the contract yet
    assert visible_model(house.tenant, model.name) is None
    assert house.tenant not in tenants_that_see(model)


def test_the_audit_names_the_models_and_another_tier_says_that_they_go(house: House, model: LanguageModel) -> None:
    agreement, _ = agree(house, AgreementWish(models=[model.name]))
    link = AuditEvent.objects.get(action="contract.agreed", target=str(agreement.pk))
    assert link.detail["after"]["models"] == [model.name]
    other = Tier.objects.create(code=unique("t")[:32], name="Other", rate_card=house.price_version.rate_card)
    change = contract_change(tenant=house.tenant, tier=other)
    assert (list(change.lost), list(change.gained)) == ([model.name], [])


def test_only_published_models_are_agreed_on(house: House) -> None:
    for name in (make_model().name, "none such"):
        with pytest.raises(Invalid, match="no published model"):
            agree(house, AgreementWish(models=[name]))


def test_what_is_hidden_from_all_no_agreement_shows(house: House, model: LanguageModel) -> None:
    agree(house, AgreementWish(models=[model.name]))
    LanguageModel.objects.filter(pk=model.pk).update(visibility="nobody")
    assert visible_model(house.tenant, model.name) is None


def test_the_tier_in_force_is_compared_by_the_cap_that_is_agreed(house: House, card: RateCard) -> None:
    Tier.objects.filter(contracts__tenant=house.tenant).update(monthly_cap_nano_eur=100 * EUR, rate_card=card)
    agree(house, AgreementWish(is_cap_agreed=True, monthly_cap_nano_eur=700 * EUR))
    first, *others = compare_tiers(house.tenant).offers
    assert (first.is_current, first.cap_nano_eur, first.is_cap_agreed) == (True, 700 * EUR, True)
    assert not any(other.is_cap_agreed for other in others)
    agree(house, AgreementWish(is_cap_agreed=True))
    assert compare_tiers(house.tenant).offers[0].cap_nano_eur is None


@pytest.fixture
def card() -> RateCard:
    return add_rate_card(name=unique("card"), actor=TESTS)
