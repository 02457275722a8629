"""The operator's pages of organisations: the list, one, a new one, many, a suspension; and keys of programs."""

from copy import copy
from datetime import date

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Agreement, Closing, ContractTerm, CreditOrder, RateCard, Tier
from billing.prices.price_book import load_prices
from billing.tenants.closing import close_tenant, may_be_closed
from identity.errors import Conflict
from identity.models import AuditEvent, Invitation, OperatorKey, OperatorRole, Role, Tenant
from identity.operator_keys import authenticate_operator_key
from identity.tenants import suspend_tenant
from tests.support.console import page, signed_in
from tests.support.ledger import ledger_gateway, make_house, unique
from tests.support.operators import RUNS
from tests.support.people import TESTS, make_operator, make_person, make_tenant

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def olga(database: None) -> Client:
    """The platform operator's browser."""
    return signed_in(make_operator(OperatorRole.PLATFORM))


@pytest.fixture
def tier(database: None) -> str:
    load_prices(actor=TESTS)
    return Tier.objects.create(code=unique("t")[:32], name="Team").code


def test_an_organisation_is_made_found_and_shown(olga: Client, tier: str) -> None:
    name = unique("Water works")
    values = {"name": name, "tier": tier, "owner": "erin@example.org", "time_zone": "Europe/Paris"}
    answer = olga.post("/operator/new-tenant", values)
    tenant = Tenant.objects.get(name=name)
    assert (answer.status_code, answer["Location"]) == (302, f"/operator/tenants/{tenant.slug}")
    assert Invitation.objects.get(tenant=tenant).role == Role.OWNER
    shown = page(olga.get(answer["Location"]))
    assert "erin@example.org" in shown
    assert tier in shown
    listed = page(olga.get("/operator/tenants", {"q": name}))
    assert f"/operator/tenants/{tenant.slug}" in listed
    assert "No organisation fits" in page(olga.get("/operator/tenants", {"q": "no such words"}))


def test_what_makes_no_sense_is_said_at_the_field(olga: Client, tier: str) -> None:
    taken = make_tenant()
    values = {"name": "Again", "slug": taken.slug, "tier": tier, "time_zone": "Europe/Paris"}
    told = page(olga.post("/operator/new-tenant", values))
    assert told.index('name="slug"') < told.index(f"has the short name {taken.slug}")
    assert "Use lower case letters" in page(olga.post("/operator/new-tenant", values | {"slug": "Two words"}))
    assert "nobody" in page(olga.post("/operator/new-tenant", values | {"owner": "nobody"}))


def test_a_table_is_looked_at_first_and_then_made(olga: Client, tier: str) -> None:
    word = unique("row")
    good = "external_id;name;tier\n" + "".join(f"{word}-{n};Team {n};{tier}\n" for n in range(3))
    looked = page(olga.post("/operator/tenant-imports", {"text": good}))
    assert "Nothing is done yet" in looked
    assert looked.count("to be made") == 3
    assert not Tenant.objects.filter(external_id__startswith=word).exists()
    assert "Done" in page(olga.post("/operator/tenant-imports", {"text": good, "make": "1"}))
    assert Tenant.objects.filter(external_id__startswith=word).count() == 3
    wrong = good + f"{word}-9;Team 9;none\n"
    looked = page(olga.post("/operator/tenant-imports", {"text": wrong, "make": "1"}))
    assert "1 line is wrong" in looked
    assert "tier: is none that is offered" in looked
    rows = looked.partition("<tbody>")[2]
    assert rows.index("Team 9") < rows.index("Team 0")  # what is wrong stands first
    again = page(olga.post("/operator/tenant-imports", {"text": wrong, "correct": "1"}))
    assert f"{word}-9;Team 9;none" in again  # to be mended where it was pasted
    assert tier in again  # the codes that a line may have
    nameless = page(olga.post("/operator/tenant-imports", {"text": f"external_id,name,tier\n,Nobody's,{tier}\n"}))
    assert "external_id: must be given" in nameless


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Choose a file"),
        ("name,tier\nA,b", "lacks these columns"),
        ("external_id,name,tier,colour\n", "nobody knows"),
        ("external_id,name,tier\na,b\n", "line 2"),
        ('external_id,name,tier\n"a,b\n', "cannot be read"),
    ],
)
def test_what_is_no_table_says_what_is_wrong(olga: Client, text: str, told: str) -> None:
    assert told in page(olga.post("/operator/tenant-imports", {"text": text}))


def test_a_suspension_takes_a_reason_and_ends_with_one(olga: Client) -> None:
    tenant = make_tenant()
    address = f"/operator/tenants/{tenant.slug}"
    assert page(olga.post(f"{address}/suspend", {"reason": ""}))
    assert olga.post(f"{address}/suspend", {"reason": "unpaid since May"}).status_code == 302
    assert "unpaid since May" in page(olga.get(address))
    assert olga.post(f"{address}/reactivate", {"reason": "paid"}).status_code == 302
    tenant.refresh_from_db()
    assert tenant.status == "active"
    assert olga.get("/operator/tenants/nobody/suspend").status_code == 404


def test_an_organisation_that_was_made_by_mistake_is_closed_and_found_by_nobody(olga: Client, tier: str) -> None:
    wish = {"name": "Water works", "external_id": unique("team"), "tier": tier, "owner": "", "slug": unique("water")}
    wish |= {"time_zone": "Europe/Paris"}
    olga.post("/operator/new-tenant", wish)
    tenant = Tenant.objects.get(slug=wish["slug"])
    alice = signed_in(make_person("alice", tenant, Role.OWNER))
    address = f"/operator/tenants/{tenant.slug}"
    assert "Close" in page(olga.get(address))
    assert page(olga.post(f"{address}/close", {"reason": ""}))
    assert "Water works is closed." in page(olga.post(f"{address}/close", {"reason": "twice"}, follow=True))
    assert olga.get(address).status_code == 404
    assert olga.get("/operator/tenants/closed-" + str(tenant.pk)).status_code == 404
    assert f"closed-{tenant.pk}" not in page(olga.get("/operator/tenants", {"q": "Water works"}))
    assert alice.get(f"/t/{tenant.slug}/").status_code == 404
    assert alice.get(f"/t/closed-{tenant.pk}/").status_code == 404
    assert AuditEvent.objects.filter(action="tenant.closed", target=str(tenant.pk)).count() == 2
    olga.post("/operator/new-tenant", wish)  # its words are free again
    assert Tenant.objects.get(slug=wish["slug"]).external_id == wish["external_id"]


def test_an_organisation_that_was_used_is_not_closed(olga: Client, gateway_database_url: str) -> None:
    house = make_house()
    address = f"/operator/tenants/{house.tenant.slug}/close"
    with ledger_gateway(gateway_database_url) as gateway:
        gateway.complete(house, house.key().row)
    assert "It was used" in page(olga.get(address))
    assert "It was used" in page(olga.post(address, {"reason": "gone"}))
    house.tenant.refresh_from_db()
    assert house.tenant.closed_at is None


OCTOBER, NOW = date(2026, 10, 1), timezone.now()


@pytest.mark.parametrize(
    ("row", "may"),
    [
        (ContractTerm(kind="fee", amount_nano_eur=10**9, first_month=OCTOBER), False),
        (ContractTerm(kind="fee", amount_nano_eur=10**9, first_month=OCTOBER, withdrawn_at=NOW), True),
        (CreditOrder(amount_nano_eur=10**9), False),
        (CreditOrder(amount_nano_eur=10**9, state="cancelled"), True),
        (Agreement(rate_card=RateCard(), starts_at=NOW), False),
        (Agreement(starts_at=NOW), True),
        (Closing(month=OCTOBER, state="issued"), False),
        (Closing(month=OCTOBER, state="previewed"), True),
    ],
)
def test_an_organisation_with_something_agreed_ordered_or_closed_is_not_closed(
    row: ContractTerm | CreditOrder | Agreement | Closing, may: bool
) -> None:
    row = copy(row)
    row.tenant = tenant = make_tenant()
    if isinstance(row, Agreement) and row.rate_card:
        row.rate_card = RateCard.objects.create(name=unique("Own"))
    row.save()
    assert may_be_closed(tenant) == may
    if not may:
        with pytest.raises(Conflict, match="agreed or ordered"):
            close_tenant(tenant, by=RUNS, reason="a mistake")


def test_people_of_a_suspended_organisation_sign_in_read_and_export(database: None) -> None:
    tenant = make_tenant()
    alice = signed_in(make_person("alice", tenant, Role.OWNER))
    suspend_tenant(tenant, by=RUNS, reason="unpaid")
    root = f"/t/{tenant.slug}"
    for address in ("/", "/usage", "/billing", "/audit", "/requests"):
        assert alice.get(root + address).status_code == 200, address
    for address in ("/usage.csv", "/audit/export.csv"):
        assert alice.get(root + address).status_code == 200, address


def test_a_key_is_shown_once_works_and_is_revoked(olga: Client) -> None:
    values = {"name": "Terraform", "scopes": ["tenants:write"], "days": "30"}
    made = page(olga.post("/operator/settings/keys", values))
    key = OperatorKey.objects.order_by("-id")[0]
    text = made.partition(f"bfo_{key.lookup}_")[1] + made.partition(f"bfo_{key.lookup}_")[2].partition("<")[0]
    assert authenticate_operator_key(text, now=timezone.now()) == key
    assert text not in page(olga.get("/operator/settings/keys"))
    assert 'value="prices:write"' not in made  # not the platform operator's to give
    assert olga.post(f"/operator/settings/keys/{key.lookup}/revoke").status_code == 302
    key.refresh_from_db()
    assert key.revoked_at is not None
