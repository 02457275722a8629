"""The operator's pages of organisation rules: written, tried with a list, changed, removed; whom they feed."""

from collections.abc import Iterator

import pytest
from django.test import Client

from billing.tenants.tenants import TenantWish, put_tenant
from identity.models import GroupFeed, OperatorRole, OrganisationRule, Role, Tenant
from tests.support.console import page, signed_in
from tests.support.group_rules import Directory, directory, fed, role_in
from tests.support.ledger import unique
from tests.support.operators import RUNS
from tests.support.people import make_operator, make_person

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def house(database: None) -> Iterator[Directory]:
    with directory() as house:
        yield house


@pytest.fixture
def olga(database: None) -> Client:
    """The platform operator's browser."""
    return signed_in(make_operator(OperatorRole.PLATFORM))


@pytest.fixture
def word() -> str:
    return unique("w").lower().replace("_", "-")


def values(house: Directory, **more: object) -> dict[str, object]:
    """What is typed into the form."""
    return {
        "pattern": house.group("*"),
        "role": "developer",
        "makes": "on",
        "tier": house.tier,
        "name_pattern": "Department *",
        "id_pattern": "*",
        "joins": "",
        "time_zone": "Europe/Paris",
        "made_max": "300",
    } | more


def test_a_rule_is_written_changed_and_removed(olga: Client, house: Directory, word: str) -> None:
    assert olga.post("/operator/new-organisation-rule", values(house)).status_code == 302
    rule = OrganisationRule.objects.get(pattern=house.group("*"))
    listed = page(olga.get("/operator/organisation-rules"))
    assert house.group("*") in listed
    assert "No rule makes owners" in listed
    address = f"/operator/organisation-rules/{rule.code}"
    dora = make_person("dora")
    house.signs_in(dora, word)
    shown = page(olga.get(address))
    assert "keys are revoked" in shown
    assert 'value="Department *"' in shown
    assert olga.post(address, values(house, role="owner")).status_code == 302
    house.signs_in(dora, word)
    assert role_in(dora, fed(word)) == "owner"
    assert "No rule makes owners" not in page(olga.get("/operator/organisation-rules"))
    assert olga.post(f"{address}/remove").status_code == 302
    assert olga.get(address).status_code == 404
    assert Tenant.objects.get(external_id=word).name.startswith("Department W")


def test_what_makes_no_sense_is_said_at_the_field(olga: Client, house: Directory) -> None:
    told = page(olga.post("/operator/new-organisation-rule", values(house, pattern="llm")))
    assert told.index('name="pattern"') < told.index("Must have exactly one *") < told.index('name="role"')
    assert "Is none that is offered" in page(olga.post("/operator/new-organisation-rule", values(house, tier="")))
    house.rule("*")
    assert "Another rule has this pattern" in page(olga.post("/operator/new-organisation-rule", values(house)))


def test_a_list_is_looked_at_first_and_then_made(olga: Client, house: Directory, word: str) -> None:
    house.rule("*")
    house.rule("*-owners", Role.OWNER, makes=False)
    text = "\n".join(house.group(name) for name in (word, f"{word}-owners", f"{word}2", "<b>")) + "\nelsewhere\n"
    looked = page(olga.post("/operator/group-imports", {"text": text}))
    assert "Make these 2 organisations now" in looked
    rows = looked.partition("<tbody>")[2]
    assert rows.index("&lt;b&gt;") < rows.index(f"{word}-owners") < rows.index("elsewhere")
    assert not Tenant.objects.filter(external_id__startswith=word).exists()
    done = page(olga.post("/operator/group-imports", {"text": text, "make": "1"}))
    assert "Organisations made: 2" in done
    assert GroupFeed.objects.filter(word__startswith=word).count() == 2
    again = page(olga.post("/operator/group-imports", {"text": text, "correct": "1"}))
    assert f"{word}-owners" in again
    assert "Choose a file" in page(olga.post("/operator/group-imports", {"text": ""}))
    many = "\n".join(f"g{number}" for number in range(1_001))
    assert "at most 1000 at once" in page(olga.post("/operator/group-imports", {"text": many})).replace(",", "")


def test_one_that_is_there_is_fed_once_it_is_ticked(olga: Client, house: Directory, word: str) -> None:
    house.rule("*")
    wish = TenantWish(external_id=word, name="Water works", tier=house.tier)
    tenant = put_tenant(by=RUNS, wish=wish).tenant
    assert tenant is not None
    looked = page(olga.post("/operator/group-imports", {"text": house.group(word)}))
    assert f'name="word" value="{word}"' in looked
    page(olga.post("/operator/group-imports", {"text": house.group(word), "feed": "1"}))
    assert not GroupFeed.objects.filter(tenant=tenant).exists()
    fed_now = page(olga.post("/operator/group-imports", {"text": house.group(word), "feed": "1", "word": word}))
    assert "Groups feed 1 more organisation" in fed_now
    assert fed(word) == tenant
    address = f"/operator/tenants/{tenant.slug}"
    assert "an operator said so" in page(olga.get(f"{address}/groups"))
    assert olga.post(f"{address}/groups/end").status_code == 302
    shown = page(olga.get(f"{address}/groups"))
    assert "No rule on groups touches" in shown
    assert house.group(word) in shown
    assert olga.post(f"{address}/groups/by/{house.root}").status_code == 302
    assert fed(word) == tenant


def test_who_only_reads_sees_the_rules_and_no_more(house: Directory) -> None:
    house.rule("*")
    weak = signed_in(make_operator(OperatorRole.SUPPORT))
    assert "New rule" not in page(weak.get("/operator/organisation-rules"))
    assert weak.get("/operator/new-organisation-rule").status_code == 403
