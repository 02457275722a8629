"""The operator's pages of tiers, and what they change of an organisation that there is."""

import pytest
from django.test import Client

from billing.contracts.contracts import contract_in_force, start_contract
from billing.models import Limit, Tier
from billing.prices.price_book import load_prices
from billing.prices.visibility import Audience, set_visibility
from identity.models import OperatorRole, Tenant
from models_catalog.models import LanguageModel
from tests.support.console import page, signed_in
from tests.support.ledger import make_model, unique
from tests.support.people import TESTS, make_operator, make_tenant

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def bill(database: None) -> Client:
    """The billing operator's browser."""
    load_prices(actor=TESTS)
    return signed_in(make_operator(OperatorRole.BILLING))


def make_tier(bill: Client, **typed: str) -> Tier:
    code = unique("t")[:32]
    values = {"code": code, "name": f"Team {code}", "cap": "100", "requests_minute": "60", **typed}
    assert bill.post("/operator/new-tier", values)["Location"] == f"/operator/tiers/{code}"
    return Tier.objects.get(code=code)


def on(tier: Tier) -> Tenant:
    tenant = make_tenant()
    start_contract(tenant=tenant, tier=tier, actor=TESTS)
    return tenant


def test_a_tier_is_made_listed_changed_and_brought_to_its_contracts(bill: Client) -> None:
    tier = make_tier(bill, description="For teams", concurrent_none="8")
    assert tier.monthly_cap_nano_eur == 100 * 10**9
    assert {"what": "concurrent", "window": "none", "amount": 8} in tier.limits
    tenant, address = on(tier), f"/operator/tiers/{tier.code}"
    assert f'href="/operator/tenants?tier={tier.code}"' in page(bill.get("/operator/tiers"))
    assert tenant.name in page(bill.get("/operator/tenants", {"tier": tier.code}))
    assert 'value="60"' in page(bill.get(f"{address}/change"))
    assert bill.post(f"{address}/change", {"name": tier.name, "requests_minute": "90"}).status_code == 302
    shown = page(bill.get(address))
    assert "1 of them has limits and a cap of an earlier version" in shown
    assert "version 2" in shown
    assert Limit.objects.get(tenant_id=tenant.pk, what="requests", is_active=True).amount == 60
    assert bill.post(f"{address}/renew").status_code == 302
    assert Limit.objects.get(tenant_id=tenant.pk, what="requests", is_active=True).amount == 90
    assert "earlier version." not in page(bill.get(address))


def test_a_tier_paid_in_advance_is_typed_and_shown(bill: Client) -> None:
    tier = make_tier(bill, prepaid="50")
    assert tier.prepaid_nano_eur == 50 * 10**9
    assert "€50.00" in page(bill.get(f"/operator/tiers/{tier.code}"))
    assert 'value="50.00"' in page(bill.get(f"/operator/tiers/{tier.code}/change"))
    on(tier)
    refused = page(bill.post(f"/operator/tiers/{tier.code}/change", {"name": "Team"}))
    assert "make another one that is paid so" in refused


def test_what_makes_no_sense_is_said_at_the_field(bill: Client) -> None:
    tier = make_tier(bill)
    assert "Lower case" in page(bill.post("/operator/new-tier", {"code": "Not so", "name": "A"}))
    assert "of this code already" in page(bill.post("/operator/new-tier", {"code": tier.code, "name": "A"}))
    assert "from 0 to" in page(bill.post("/operator/new-tier", {"code": unique("t")[:32], "name": "A", "cap": "-1"}))


def test_a_tier_that_is_withdrawn_is_not_to_be_chosen_until_it_is_offered_again(bill: Client) -> None:
    tier = make_tier(bill)
    address = f"/operator/tiers/{tier.code}"
    assert bill.post(f"{address}/withdraw").status_code == 302
    assert "Offer it again" in page(bill.get(address))
    assert f'value="{tier.code}"' not in page(bill.get("/operator/new-tenant"))
    assert bill.post(f"{address}/offer").status_code == 302
    assert f'value="{tier.code}"' in page(bill.get("/operator/new-tenant"))


def test_another_contract_says_what_it_changes_and_then_is_in_force(bill: Client) -> None:
    tier, other = make_tier(bill), make_tier(bill, cap="", requests_minute="90")
    tenant = on(tier)
    address = f"/operator/tenants/{tenant.slug}/contract"
    assert tier.name in page(bill.get(address))
    shown = page(bill.get(address, {"tier": other.code}))
    assert f"<del>{tier.name}</del> {other.name}" in shown
    assert "<del>60</del> 90" in shown
    assert "Nothing: this is the contract in force" in page(bill.get(address, {"tier": tier.code}))
    running = contract_in_force(tenant)
    assert running is not None
    assert running.tier == tier
    assert bill.post(address, {"tier": other.code, "rate_card": ""}).status_code == 302
    running = contract_in_force(tenant)
    assert running is not None
    assert running.tier == other
    assert "none such" in page(bill.post(address, {"tier": "none such"}))


def test_an_organisation_is_renamed_and_a_taken_external_id_is_said(bill: Client) -> None:
    tenant, rival = make_tenant(), make_tenant()
    Tenant.objects.filter(pk=rival.pk).update(external_id=rival.slug)
    address = f"/operator/tenants/{tenant.slug}/change"
    values = {"name": "Water works", "time_zone": "Atlantic/Canary", "external_id": ""}
    assert tenant.name in page(bill.get(address))
    assert "Another organisation has this external id" in page(bill.post(address, values | {"external_id": rival.slug}))
    assert bill.post(address, values).status_code == 302
    tenant.refresh_from_db()
    assert (tenant.name, tenant.time_zone) == ("Water works", "Atlantic/Canary")


def test_an_organisation_and_a_tier_show_their_models_with_the_reason(bill: Client) -> None:
    tier = make_tier(bill)
    tenant, model = on(tier), make_model()
    LanguageModel.objects.filter(pk=model.pk).update(published_at="2026-01-01T00:00Z")
    set_visibility(model=model, audience=Audience(LanguageModel.Visibility.CHOSEN, tiers=(tier.pk,)), actor=TESTS)
    shown = page(bill.get(f"/operator/tenants/{tenant.slug}/models"))
    assert model.name in shown
    assert "its tier" in shown
    assert "no engine is ready" in shown
    assert model.name in page(bill.get(f"/operator/tiers/{tier.code}"))
    assert model.name not in page(bill.get(f"/operator/tenants/{make_tenant().slug}/models"))
