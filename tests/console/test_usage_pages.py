"""The pages of usage and of requests as people of each role get them."""

import csv
import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import unescape
from io import StringIO

import pytest
from django.http import QueryDict
from playwright.sync_api import expect

from billing.usage.overview import overview
from billing.usage.records import Grouping, Reader
from billing.usage.span import Days, Span
from billing.usage.table import Measure
from console.csv_files import cell
from console.usage_question import Asked
from identity.models import ApiKey, Membership, Person, Role
from tests.support.browser import open_browser
from tests.support.console import page, signed_in
from tests.support.history import History, history_of
from tests.support.ledger import House, LedgerGateway, ledger_gateway, make_house, make_model
from tests.support.people import make_person
from tests.support.service import service_said

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
    found = Asked.of(QueryDict(asked), now=NOW, today=TODAY, time_zone="UTC")
    assert found.time == Days(first, last, "UTC")
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
    assert '"values":[0,0,0,0,0,0,2000000000]' in unescape(text)
    assert "€2.00" in text


def test_a_month_is_compared_with_as_many_days_of_the_one_before() -> None:
    def compared(span: str, today: date = TODAY) -> Span:
        return Asked.of(QueryDict(f"span={span}"), now=NOW, today=today, time_zone="UTC").before

    assert compared("2026-11") == Days(date(2026, 10, 1), date(2026, 10, 21), "UTC")
    assert compared("2026-10") == Days(date(2026, 9, 1), date(2026, 9, 30), "UTC")
    assert compared("2026-03", date(2026, 3, 30)) == Days(date(2026, 2, 1), date(2026, 2, 28), "UTC")
    assert compared("7") == Days(date(2026, 11, 8), date(2026, 11, 14), "UTC")


def test_a_filter_narrows_every_figure_and_the_file(house: House, alice: Person, history: History) -> None:
    mine, other = house.project_called("Mine"), make_model()
    my_key, their_key = house.key(project=mine).row, house.key().row
    history.record(my_key, NOW, cost=3 * 10**9)
    history.record(my_key, NOW, cost=5 * 10**9, model=other)
    history.record(their_key, NOW - timedelta(days=8), cost=10**9)
    client, root = signed_in(alice), f"/t/{house.tenant.slug}"
    for asked, cost in (
        ("", "€8.00"),
        (f"&project={mine.pk}", "€8.00"),
        (f"&model={other.name}", "€5.00"),
        (f"&project={mine.pk}&model={house.model.name}", "€3.00"),
        (f"&key={my_key.lookup}", "€8.00"),
        (f"&key={their_key.lookup}", "Nothing was used"),
    ):
        for by in ("model", "project", "key"):
            text = page(client.get(f"{root}/usage?span=7&by={by}{asked}"))
            assert cost in text, (asked, by)
        for row in csv.DictReader(StringIO(client.get(f"{root}/usage.csv?span=7{asked}").content.decode("utf-8-sig"))):
            assert row["group"] in (house.model.name, other.name)
            assert not ("model=" in asked and row["group"] not in asked)
    assert re.search(r"\+700%, <[^>]*>€1\.00<[^>]*> before", page(client.get(f"{root}/usage?span=7")))
    assert "nothing before" in page(client.get(f"{root}/usage?span=7&model={other.name}"))


def test_a_filter_by_what_is_not_mine_shows_nothing_of_it_I6(house: House, history: History) -> None:
    mine, bob = house.project_called("Mine"), make_person("bob", house.tenant)
    confined(house, bob, mine)
    my_key, their_key = house.key(project=mine).row, house.key().row
    history.record(my_key, NOW, cost=3 * 10**9)
    history.record(their_key, NOW, cost=5 * 10**9)
    client, address = signed_in(bob), f"/t/{house.tenant.slug}/usage?span=7"
    for asked in (f"&key={their_key.lookup}", f"&project={their_key.project_id}"):
        text = page(client.get(address + asked))
        assert "€3.00" in text
        assert "€5.00" not in text
        assert "€8.00" not in text


def test_the_last_day_is_shown_by_hours_that_lead_to_their_requests(
    house: House, alice: Person, history: History
) -> None:
    key, this = house.key().row, NOW.replace(minute=0, second=0, microsecond=0)
    done = history.record(key, this - timedelta(hours=3, seconds=-1), cost=2 * 10**9)
    other = history.record(key, this - timedelta(hours=2, seconds=-1), cost=10**9)
    client, root = signed_in(alice), f"/t/{house.tenant.slug}"
    text = page(client.get(f"{root}/usage?span=1&by=key"))
    assert "Hour by hour" in text
    assert "€3.00" in text
    hour = f"days={this - timedelta(hours=3):%Y-%m-%dT%H}Z".replace(":", "%3A")
    assert hour in text
    listed = page(client.get(f"{root}/requests?{hour}"))
    assert str(done) in listed
    assert str(other) not in listed


def test_a_day_and_a_month_of_requests_can_be_listed(house: House, alice: Person, history: History) -> None:
    key = house.key().row
    at = NOW.replace(hour=0, minute=0, second=1) - timedelta(days=40)
    early, late = history.record(key, at), history.record(key, at + timedelta(days=1, seconds=-2))
    history.record(key, at - timedelta(seconds=2))
    client, address = signed_in(alice), f"/t/{house.tenant.slug}/requests"
    text = page(client.get(address, {"days": at.date().isoformat()}))
    assert text.count("/requests/0") == 2
    assert str(early) in text
    assert str(late) in text
    assert str(early) in page(client.get(address, {"days": f"{at:%Y-%m}"}))
    assert str(early) not in page(client.get(address, {"days": f"{at:%Y-%m}", "model": "another"}))
    assert "One of the filters makes no sense" in page(client.get(address, {"days": "2026-02-31"}))


def test_energy_is_estimated_from_what_models_declare(house: House, alice: Person, history: History) -> None:
    silent = make_model()
    type(house.model).objects.filter(pk=house.model.pk).update(kwh_per_million_tokens=Decimal("2.5"))
    history.record(house.key().row, NOW)
    history.record(house.key().row, NOW, model=silent)
    address = f"/t/{house.tenant.slug}/usage?span=7"
    text = page(signed_in(alice).get(address))
    assert "0.4\N{NO-BREAK SPACE}Wh" in text  # 150 tokens at 2.5 Wh a thousand
    assert "of 50% of the tokens" in text
    assert "CO₂e" not in text
    with service_said(grams_co2e_per_kwh=60):
        assert "of CO₂e" in page(signed_in(alice).get(address))


def test_the_month_is_projected_as_on_the_first_page(house: House, alice: Person, history: History) -> None:
    key = house.key().row
    for back in range(9):
        history.record(key, NOW - timedelta(days=back), cost=(back + 1) * 10**9)
    client, root = signed_in(alice), f"/t/{house.tenant.slug}"
    shown = re.search(
        r"At the end of the month.*?>(€[\d,.]+)<", page(client.get(f"{root}/usage?span={NOW:%Y-%m}")), re.DOTALL
    )
    assert shown is not None
    month = overview(Reader(house.tenant.pk), now=datetime.now(UTC)).month
    assert abs(Decimal(shown[1].strip("€").replace(",", "")) - Decimal(month.projected_nano_eur) / 10**9) < Decimal(
        "0.02"
    )
    assert "At the end of the month" not in page(client.get(f"{root}/usage?span=7"))


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


def test_labels_add_up_to_the_whole_and_lead_to_their_requests(
    house: House, alice: Person, gateway: LedgerGateway
) -> None:
    key = house.key().row
    labelled = gateway.complete(house, key, label="<night & day>")
    other = gateway.complete(house, key)
    client, slug = signed_in(alice), house.tenant.slug
    text = page(client.get(f"/t/{slug}/usage"))
    assert "&lt;night &amp; day&gt;" in text
    assert "without a label" in text
    assert "Input tokens" in text
    link = unescape(re.findall(r'href="([^"]*label=[^"]*)"', text)[0])
    listed = page(client.get(link))
    assert str(labelled) in listed
    assert str(other) not in listed
    assert "without a label" not in page(client.get(f"/t/{slug}/usage?key={key.lookup}"))


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


@pytest.mark.slow
@pytest.mark.timeout(110)
def test_a_chart_is_drawn_anew_when_it_is_narrowed_and_its_bars_lead_to_their_requests(
    house: House, alice: Person, history: History
) -> None:
    history.record(house.key().row, NOW)
    with open_browser() as browser, browser.window(alice) as window:
        page = window.open(f"/t/{house.tenant.slug}/usage?span=1")
        page.select_option("#usage-by", "project")
        page.wait_for_url("**by=project**")
        drawn = page.locator("#usage-chart .u-over")
        expect(drawn).to_be_visible()
        values = json.loads(page.locator("#usage-chart").get_attribute("data-chart") or "")["series"][0]["values"]
        box = drawn.bounding_box()
        assert box is not None
        of_bar = (next(i for i, value in enumerate(values) if value) + 0.5) / len(values)
        drawn.click(position={"x": box["width"] * of_bar, "y": box["height"] - 5})
        page.wait_for_url("**/requests?days=*")
        expect(page.locator("td.when")).to_have_count(1)
