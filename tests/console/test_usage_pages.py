"""The pages of usage and of requests as people of each role get them."""

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from django.http import QueryDict

from billing.usage import Grouping
from billing.usage_table import Measure
from console.csv_files import cell
from console.views.usage import Asked
from identity.models import ApiKey, Membership, Person, Role
from tests.support.console import page, signed_in
from tests.support.history import History, history_of
from tests.support.ledger import House, LedgerGateway, ledger_gateway, make_house
from tests.support.people import make_person

NOW = datetime.now(UTC)
TODAY = date(2026, 11, 21)


@pytest.fixture
def house(database: None) -> House:
    return make_house(time_zone="UTC")


@pytest.fixture
def alice(house: House) -> Person:
    return make_person("alice", house.tenant, Role.OWNER)


@pytest.fixture
def history(house: House, owner_database_url: str) -> Iterator[History]:
    with history_of(house, owner_database_url) as history:
        yield history


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


def confined(house: House, person: Person, *projects: object) -> None:
    membership = Membership.objects.get(person=person)
    membership.in_all_projects = False
    membership.save()
    membership.projects.set(projects)  # type: ignore[arg-type]


@pytest.mark.parametrize(("asked", "first", "last"), [
    ("", date(2026, 10, 23), TODAY),
    ("span=7", date(2026, 11, 15), TODAY),
    ("span=2026-02", date(2026, 2, 1), date(2026, 2, 28)),
    ("span=2026-11", date(2026, 11, 1), TODAY),
    ("span=9999", date(2026, 10, 23), TODAY),
])  # fmt: skip
def test_a_period_is_days_up_to_today_or_a_month(asked: str, first: date, last: date) -> None:
    found = Asked.of(QueryDict(asked), TODAY)
    assert (found.first, found.last) == (first, last)
    assert (found.by, found.measure) == (Grouping.MODEL, Measure.COST)


def test_the_export_has_each_group_and_day_and_no_formula(house: House, alice: Person, history: History) -> None:
    key = house.key().row
    ApiKey.objects.filter(pk=key.pk).update(name="=HYPERLINK(1)")
    history.record(key, NOW - timedelta(days=1))
    history.record(key, NOW, cost=10**9)
    response = signed_in(alice).get(f"/t/{house.tenant.slug}/usage.csv?by=key")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(StringIO(response.content.decode("utf-8-sig"))))
    assert rows[0][:4] == ["day", "group", "id", "requests"]
    assert [row[1:4] for row in rows[1:]] == [["'=HYPERLINK(1)", key.lookup, "1"]] * 2
    assert [row[-1] for row in rows[1:]] == ["0.000045", "1.00"]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1"])
def test_what_a_spreadsheet_would_compute_is_text(text: str) -> None:
    assert cell(text) == f"'{text}"
    assert cell("a=1") == "a=1"
    assert cell(-1) == -1


def test_the_chart_has_the_figures_of_its_table(house: House, alice: Person, history: History) -> None:
    history.record(house.key().row, NOW, cost=2 * 10**9)
    text = page(signed_in(alice).get(f"/t/{house.tenant.slug}/usage?span=7"))
    assert house.model.name in text
    assert '"values": [0, 0, 0, 0, 0, 0, 2000000000]' in text
    assert "€2.00" in text


def test_a_member_of_one_project_gets_only_its_requests_on_every_page_I6(house: House, gateway: LedgerGateway) -> None:
    mine, bob = house.project_called("Mine"), make_person("bob", house.tenant)
    confined(house, bob, mine)
    my_key, their_key = house.key(project=mine).row, house.key().row
    ours, theirs = gateway.complete(house, my_key), gateway.complete(house, their_key)
    refused = gateway.refuse(house, their_key, "rate_limit_exceeded")
    client, root = signed_in(bob), f"/t/{house.tenant.slug}"

    listed = page(client.get(f"{root}/requests"))
    assert str(ours) in listed
    assert str(theirs) not in listed
    assert str(refused) not in listed
    page(client.get(f"{root}/requests/{ours}"))
    for other in (theirs, refused):
        assert client.get(f"{root}/requests/{other}").status_code == 404
        assert client.get(f"{root}/requests?id={other}").status_code == 200  # says that there is none; leads nowhere
    assert "There is no such key" in page(client.get(f"{root}/requests?key={their_key.lookup}"))
    assert "1 failed" not in page(client.get(f"{root}/usage"))
    assert their_key.lookup not in page(client.get(f"{root}/usage?by=key"))


def test_a_pasted_id_leads_to_its_request(house: House, alice: Person, gateway: LedgerGateway) -> None:
    request_id = gateway.complete(house, house.key().row)
    address = f"/t/{house.tenant.slug}/requests"
    response = signed_in(alice).get(address, {"id": f"x-request-id: {request_id}"})
    assert (response.status_code, response["Location"]) == (302, f"{address}/{request_id}")
    assert "No request with this id" in page(signed_in(alice).get(address, {"id": "hello"}))


def test_a_request_shows_its_price_and_a_refusal_its_limit(house: House, alice: Person, gateway: LedgerGateway) -> None:
    key, client, root = house.key().row, signed_in(alice), f"/t/{house.tenant.slug}/requests"
    done, held = gateway.complete(house, key), gateway.admit(house, key).request_id
    refused = gateway.refuse(house, key, "rate_limit_exceeded", "tokens/minute/key")
    text = page(client.get(f"{root}/{done}"))
    assert "€0.000045" in text  # exact, on hover
    assert "The answer arrived whole." in text
    assert "The answer is being produced." in page(client.get(f"{root}/{held}"))
    text = page(client.get(f"{root}/{refused}"))
    assert "A limit on requests or tokens was reached." in text
    assert "tokens a minute, of the key" in text


def test_filters_that_make_no_sense_say_so(house: House, alice: Person) -> None:
    text = page(signed_in(alice).get(f"/t/{house.tenant.slug}/requests?ended=nonsense&key=nope"))
    assert "There is no such key." in text
    assert "One of the filters makes no sense." in text


def test_htmx_gets_the_list_alone_and_the_button_of_what_is_new(
    house: House, alice: Person, gateway: LedgerGateway
) -> None:
    key, client, address = house.key().row, signed_in(alice), f"/t/{house.tenant.slug}/requests"
    gateway.complete(house, key)
    part = client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert part.startswith('<section id="requests"')
    newest = part.partition("since=")[2].partition('"')[0]
    gateway.complete(house, key)
    gateway.refuse(house, key, "rate_limit_exceeded")
    button = client.get(f"{address}/new?since={newest}", headers={"HX-Request": "true"}).content.decode()
    assert "2 new requests" in button
