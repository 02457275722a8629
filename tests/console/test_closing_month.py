"""The page of an organisation's month: who approved it, which is kept by pseudonym, and the VAT that it will have."""

from datetime import UTC, datetime

import pytest

from billing.closing.issuing import approve, issue
from billing.invoices.settings import end_vat_rate, put_vat_rate
from billing.models import Closing
from identity.erasure import erase_person
from identity.models import OperatorRole, Person
from identity.operators import operator_for_person
from tests.support.closings import charging_back, last_month, previewed, selling, with_buyer
from tests.support.console import page, signed_in
from tests.support.history import history_of
from tests.support.ledger import make_house
from tests.support.operators import RUNS
from tests.support.people import TESTS, make_operator

MONTH = last_month()


@pytest.mark.usefixtures("database")
def test_an_approver_who_is_erased_is_no_longer_named(owner_database_url: str) -> None:
    house, approver, name = make_house(), make_operator(OperatorRole.BILLING), "Agnes Approver"
    Person.objects.filter(pk=approver.pk).update(name=name)
    approver.refresh_from_db()
    with history_of(house, owner_database_url) as history:
        history.record(house.key().row, datetime(MONTH.year, MONTH.month, 15, 12, tzinfo=UTC))
    with charging_back():
        previewed(house.tenant, MONTH)
        approve(by=operator_for_person(approver), tenant=house.tenant, month=MONTH)
        issue(by=RUNS, tenant=house.tenant, month=MONTH)
    reader = signed_in(make_operator(OperatorRole.BILLING))
    address = f"/operator/closing/{MONTH:%Y-%m}/{house.tenant.slug}"
    assert name in page(reader.get(address))
    erase_person(approver, actor=TESTS)
    assert name not in page(reader.get(address))
    [closing] = Closing.objects.filter(tenant=house.tenant).values()
    assert name not in str(closing)


@pytest.mark.usefixtures("database")
def test_the_operators_own_rate_of_vat_goes_before_the_one_that_is_shipped(owner_database_url: str) -> None:
    house = make_house()
    with_buyer(house.tenant)
    with history_of(house, owner_database_url) as history:
        history.record(house.key().row, datetime(MONTH.year, MONTH.month, 15, 12, tzinfo=UTC))
    put_vat_rate(by=RUNS, country="FR", valid_from=MONTH, basis_points=2150)
    try:
        with selling():
            previewed(house.tenant, MONTH)
            reader = signed_in(make_operator(OperatorRole.BILLING))
            shown = page(reader.get(f"/operator/closing/{MONTH:%Y-%m}/{house.tenant.slug}"))
    finally:
        end_vat_rate(by=RUNS, country="FR", valid_from=MONTH)
    assert "VAT, 21.5" in shown
