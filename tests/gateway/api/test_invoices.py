"""Invoices through the API: listed, read with their lines, downloaded."""

from billing.invoices.files import PDF, file_of
from identity.scopes import Scope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.invoice_contents import statement
from tests.support.invoices import filed, kept
from tests.support.ledger import House


def test_an_invoice_is_listed_read_and_downloaded(api: Api, house: House) -> None:
    key = house.key(Scope.BILLING_READ)
    made = filed(house.tenant)
    [listed] = api.get("/api/invoices?year=2026", key).json()["results"]
    assert (listed["number"], listed["document"], listed["gross_cents"]) == (made.number, "invoice", made.gross_cents)
    assert listed["payment"] in ("issued", "overdue")
    assert listed["open_cents"] == made.due_cents
    assert api.get("/api/invoices?year=2025", key).json()["results"] == []

    read = api.get(f"/api/invoices/{made.public_id}", key).json()
    assert sum(line["net_cents"] for line in read["lines"]) == read["net_cents"]
    assert sum(line["exact_nano_eur"] for line in read["lines"]) == read["exact_nano_eur"]

    response = api.get(f"/api/invoices/{made.public_id}/pdf", key)
    assert response["Content-Type"] == PDF
    assert response.content == bytes(file_of(made, PDF).content)
    assert response["ETag"] == f'"{file_of(made, PDF).sha256}"'
    assert made.number in response["Content-Disposition"]


def test_a_statement_has_a_table_and_no_xml(api: Api, house: House) -> None:
    key = house.key(Scope.BILLING_READ)
    made = kept(house.tenant, statement())
    assert problem_of(api.get(f"/api/invoices/{made.public_id}/xml", key))["status"] == 404
    assert b"Monthly fee" in api.get(f"/api/invoices/{made.public_id}/csv", key).content
