"""Pages on which operators agree on values, discounts and fixed lines, and where organisations read them."""

from datetime import date, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from billing.contracts.agreements import AgreementWish, agreements_of, put_agreement
from billing.contracts.contracts import contract_in_force, start_contract, terms_brought
from billing.contracts.terms import TermWish, add_term, terms_of, this_month
from billing.models import Tier
from billing.prices.price_book import add_rate_card
from identity.models import OperatorRole
from identity.operators import appoint_operator
from tests.support.console import page, signed_in
from tests.support.ledger import make_model, make_price, unique
from tests.support.operators import RUNS
from tests.support.people import TESTS, Cast, make_cast, make_operator, make_tenant

pytestmark = pytest.mark.usefixtures("database")
EUR = 10**9
LIMIT = {"what": "requests", "window": "minute", "amount": 60}


@pytest.fixture
def cast() -> Cast:
    """A house on a tier of 100 EUR a month."""
    cast = make_cast()
    card = add_rate_card(name=unique("card"), actor=TESTS)
    code = unique("t")[:32]
    tier = Tier.objects.create(code=code, name="Silver", limits=[LIMIT], monthly_cap_nano_eur=100 * EUR, rate_card=card)
    start_contract(tenant=cast.tenant, tier=tier, actor=TESTS)
    return cast


@pytest.fixture
def operator() -> Client:
    person = make_operator()
    appoint_operator(person, OperatorRole.BILLING, actor=TESTS)
    return signed_in(person)


def at(cast: Cast, rest: str) -> str:
    return f"/operator/tenants/{cast.tenant.slug}/{rest}"


FORM = {"reference": "C-7", "cap": "own", "cap_amount": "250", "requests_minute": "600", "availability": "99,9"}


def test_an_agreement_is_looked_at_then_agreed_and_both_read_its_source(cast: Cast, operator: Client) -> None:
    looked = page(operator.post(at(cast, "agreement"), FORM))
    assert "€250.00" in looked
    assert agreements_of(cast.tenant) == []
    answer = operator.post(at(cast, "agreement"), FORM | {"agree": "1"})
    assert (answer.status_code, answer["Location"]) == (302, at(cast, "terms"))
    assert terms_brought(cast.tenant).cap_nano_eur == 250 * EUR
    for text in (
        page(operator.get(at(cast, "terms"))),
        page(signed_in(cast.alice).get(f"/t/{cast.tenant.slug}/billing")),
    ):
        assert "agreed: C-7" in text
        assert "from the tier Silver" in text
        assert "99.9%" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cap_amount": ""}, "Give the amount"),
        ({"cap_amount": "-5"}, "Give an amount from 0"),
        ({"requests_minute": "many"}, "A whole number, or a hyphen"),
        ({"availability": "120"}, "100 % at most"),
        ({"first_day": "2026-01-01"}, "nothing of the past"),
        ({"document_url": "ftp://x"}, "begins with https"),
    ],
)
def test_what_makes_no_sense_is_said_at_its_field(
    cast: Cast, operator: Client, change: dict[str, str], words: str
) -> None:
    assert words in page(operator.post(at(cast, "agreement"), FORM | change | {"agree": "1"}))
    assert agreements_of(cast.tenant) == []


def test_a_hyphen_takes_a_limit_away_and_the_form_shows_it_again(cast: Cast, operator: Client) -> None:
    operator.post(at(cast, "agreement"), {"cap": "tier", "requests_minute": "-", "agree": "1"})
    assert terms_brought(cast.tenant).limits == []
    assert 'name="requests_minute" value="-"' in page(operator.get(at(cast, "agreement")))


def test_what_is_agreed_ends_and_what_is_planned_is_taken_back(cast: Cast, operator: Client) -> None:
    put_agreement(by=RUNS, tenant=cast.tenant, wish=AgreementWish(reference="C-1", last_day=date(2030, 1, 1)))
    later = timezone.localdate() + timedelta(days=4_000)
    put_agreement(by=RUNS, tenant=cast.tenant, wish=AgreementWish(reference="C-2", first_day=later))
    for one in agreements_of(cast.tenant):
        assert operator.post(at(cast, f"agreements/{one.pk}/end")).status_code == 302
    contract = contract_in_force(cast.tenant)
    assert contract is not None
    assert (contract.agreement, agreements_of(cast.tenant)) == (None, [])
    assert operator.post(at(cast, "agreements/0/end")).status_code == 404


def test_a_discount_by_volume_is_typed_line_by_line(cast: Cast, operator: Client) -> None:
    first = this_month(cast.tenant)
    form = {"kind": "steps", "first_month": f"{first:%Y-%m}", "steps": "1000 5\n5000 12,5\n"}
    assert operator.post(at(cast, "bill-terms/new"), form).status_code == 302
    [term] = terms_of(cast.tenant)
    assert term.steps == [
        {"above_nano_eur": 1_000 * EUR, "share_millionths": 50_000},
        {"above_nano_eur": 5_000 * EUR, "share_millionths": 125_000},
    ]
    ended = operator.post(at(cast, f"bill-terms/{term.pk}/end"), {"last_month": f"{first:%Y-%m}"})
    assert (ended.status_code, terms_of(cast.tenant)[0].last_month) == (302, first)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"kind": "steps", "steps": "1000"}, "Line 1"),
        ({"kind": "steps", "steps": "5000 5\n1000 10"}, "a higher amount"),
        ({"kind": "percent", "share": "101"}, "100 % at most"),
        ({"kind": "percent", "share": "-1"}, "Give a percentage"),
        ({"kind": "commitment", "amount": "100"}, "A commitment has a last month"),
        ({"kind": "fee", "amount": "100"}, "Say what it is for"),
        ({"kind": "percent", "share": "5", "first_month": "2026-01"}, "That month is over"),
        ({"kind": "percent", "share": "5", "first_month": "soon"}, "Give a month"),
    ],
)
def test_a_term_that_makes_no_sense_says_where(cast: Cast, operator: Client, form: dict[str, str], words: str) -> None:
    first = {"first_month": f"{this_month(cast.tenant):%Y-%m}"}
    assert words in page(operator.post(at(cast, "bill-terms/new"), first | form))
    assert terms_of(cast.tenant) == []


def test_a_client_sees_what_the_month_comes_to_with_its_terms(cast: Cast) -> None:
    first = this_month(cast.tenant)
    fee = TermWish("fee", first, description="Support day and night", amount_nano_eur=250 * EUR)
    add_term(by=RUNS, tenant=cast.tenant, wish=fee)
    text = page(signed_in(cast.alice).get(f"/t/{cast.tenant.slug}/billing"))
    assert "Support day and night" in text
    assert "Before discounts" in text
    assert "€250.00" in text


def test_models_are_agreed_on_and_both_read_which(cast: Cast, operator: Client) -> None:
    model = make_model(visibility="chosen", visible_tenants=[make_tenant().pk], published_at=timezone.now())
    assert f'value="{model.name}"' in page(operator.get(at(cast, "agreement")))
    assert "Models besides" in page(operator.post(at(cast, "agreement"), FORM | {"models": [model.name]}))
    assert operator.post(at(cast, "agreement"), FORM | {"models": [model.name], "agree": "1"}).status_code == 302
    assert model.name in page(operator.get(at(cast, "terms")))
    assert "what is agreed" in page(operator.get(at(cast, "models")))
    alice = signed_in(cast.alice)
    assert model.name in page(alice.get(f"/t/{cast.tenant.slug}/billing"))
    assert "€250.00" in page(alice.get(f"/t/{cast.tenant.slug}/billing/tiers"))


def test_own_prices_are_looked_at_then_agreed(cast: Cast) -> None:
    person = make_operator()
    for role in (OperatorRole.BILLING, OperatorRole.PLATFORM):
        appoint_operator(person, role, actor=TESTS)
    contract, model = contract_in_force(cast.tenant), make_model()
    assert contract is not None
    make_price(contract.rate_card, model)
    table, browser = {"text": f"model;input;cached;output\n{model.name};0,10;0,05;0,50"}, signed_in(person)
    looked = page(browser.post(at(cast, "own-prices"), table))
    assert "Let it count now" in looked
    assert agreements_of(cast.tenant) == []
    assert browser.post(at(cast, "own-prices"), table | {"agree": "1"}).status_code == 302
    assert agreements_of(cast.tenant)[0].rate_card is not None
    assert "does not follow the tier" in page(browser.get(at(cast, "terms")))
    make_price(contract.rate_card, make_model())
    assert "1 price more" in page(browser.get(at(cast, "terms")))
    dear = {"text": table["text"].replace("0,50", "0,51"), "agree": "1"}
    refused = page(browser.post(at(cast, "own-prices"), dear))
    assert "write down why" in refused
    assert "€0.50 → €0.51" in refused
    assert browser.post(at(cast, "own-prices"), dear | {"reason": "more support"}).status_code == 302
    wrong = page(browser.post(at(cast, "own-prices"), {"text": "modl\nx"}))
    assert "The table" in wrong
    assert "There is no model" in page(browser.post(at(cast, "own-prices"), {"text": "model;input\nnone;1"}))
