"""A month of all tenants, through the operator's API."""

import pytest

from billing.invoices.files import PDF, XML, file_of
from billing.models import UsageRecord
from identity.models import AuditEvent, Tenant
from identity.scopes import OperatorScope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.invoices import filed
from tests.support.ledger import House, LedgerGateway, unique
from tests.support.operators import HeldOperatorKey, held_operator_key

ADDRESS = "/api/operator/billing"


@pytest.fixture
def script(database: None) -> HeldOperatorKey:
    return held_operator_key(OperatorScope.BILLING_READ)


def test_a_tenants_line_is_the_sum_of_its_records(
    api: Api, script: HeldOperatorKey, house: House, gateway: LedgerGateway
) -> None:
    external_id = unique("acme")
    Tenant.objects.filter(pk=house.tenant.pk).update(external_id=external_id)
    request_id = gateway.complete(house, house.key().row)
    told = api.get(ADDRESS, script).json()
    line = next(one for one in told["tenants"] if one["external_id"] == external_id)
    cost = UsageRecord.objects.get(request_id=request_id).cost_nano_eur
    assert (line["slug"], line["requests"], line["cost_nano_eur"]) == (house.tenant.slug, 1, cost)
    assert told["is_over"] is False
    assert told["cost_nano_eur"] == sum(one["cost_nano_eur"] for one in told["tenants"])


def test_a_month_without_usage_is_empty_and_one_that_makes_no_sense_is_refused(
    api: Api, script: HeldOperatorKey
) -> None:
    told = api.get(f"{ADDRESS}?month=2020-02", script).json()
    assert (told["first_day"], told["last_day"], told["is_over"]) == ("2020-02-01", "2020-02-29", True)
    assert told["tenants"] == []
    for nonsense in ("2020-13", "2020", "", "2020-02-01"):
        response = api.get(f"{ADDRESS}?month={nonsense}", script)
        assert (response.status_code, problem_of(response)["code"]) == (400, "invalid")


def test_an_organisations_invoice_is_downloaded_and_its_audit_says_so(
    api: Api, script: HeldOperatorKey, house: House
) -> None:
    made = filed(house.tenant)
    for ending, media_type in (("pdf", PDF), ("xml", XML)):
        response = api.get(f"/api/operator/invoices/{made.public_id}/files/{ending}", script)
        assert (response.status_code, response.content) == (200, bytes(file_of(made, media_type).content))
    assert AuditEvent.objects.filter(tenant=house.tenant, action="invoice.downloaded").count() == 2
    assert api.get(f"/api/operator/invoices/{made.public_id}/files/exe", script).status_code == 404


def test_how_long_a_notice_of_a_rise_is_to_be_is_a_setting(api: Api) -> None:
    script, address = held_operator_key(OperatorScope.BILLING_WRITE), "/api/operator/billing-settings"
    try:
        assert api.ask("PATCH", address, script, {"rise_notice_days": 60}).json()["rise_notice_days"] == 60
        assert api.get(address, script).json()["rise_notice_days"] == 60
        assert api.ask("PATCH", address, script, {"rise_notice_days": 400}).status_code == 400
    finally:
        assert api.ask("PATCH", address, script, {"rise_notice_days": 30}).status_code == 200
