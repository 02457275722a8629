"""What the operator sees of all organisations' bills, and of all engines."""

import csv
import os
import re
from datetime import UTC, date, datetime

import pytest
from django.urls import reverse

from billing.models import UsageRecord
from billing.money import exact_eur
from billing.usage.platform_month import Month, platform_use
from gateway.pools.models import Pool, Replica
from identity.models import OperatorRole
from tests.support.console import page, signed_in
from tests.support.ledger import house_of, ledger_gateway, make_model, unique
from tests.support.people import make_cast, make_key, make_operator

pytestmark = pytest.mark.usefixtures("database")


def test_an_organisation_s_month_is_on_the_page_and_exact_in_the_file() -> None:
    cast = make_cast()
    key, _ = make_key(cast.tenant)
    with ledger_gateway(os.environ["DATABASE_GATEWAY_URL"]) as gateway:
        request_id = gateway.complete(house_of(cast.tenant), key)
    cost = UsageRecord.objects.get(request_id=request_id).cost_nano_eur
    billing = signed_in(make_operator(OperatorRole.BILLING))
    shown = page(billing.get(reverse("operator-billing")))
    assert "Charged so far" in shown
    answer = billing.get(reverse("operator-billing-export"))
    rows = csv.DictReader(answer.content.decode("utf-8-sig").splitlines())
    line = next(row for row in rows if row["tenant"] == cast.tenant.slug)
    assert (line["requests"], line["cost_eur"]) == ("1", exact_eur(cost))


BILLED = [
    "operator-billing", "operator-billing-export", "operator-billing-settings", "operator-closing",
    "operator-credit", "operator-invoices", "operator-journal",
]  # fmt: skip


@pytest.mark.parametrize("role", [OperatorRole.PLATFORM, OperatorRole.SUPPORT])
def test_who_runs_machines_or_helps_sees_nothing_of_what_organisations_are_billed(role: OperatorRole) -> None:
    client, cast = signed_in(make_operator(role)), make_cast()
    of_one = reverse("operator-tenant-credit", kwargs={"slug": cast.tenant.slug})
    answers = {address: client.get(address).status_code for address in [of_one, *map(reverse, BILLED)]}
    assert set(answers.values()) == {403}, answers
    shown = page(client.get(reverse("operator-tenant", kwargs={"slug": cast.tenant.slug})))
    assert reverse("operator-billing") not in shown
    assert of_one not in shown
    reading = signed_in(make_operator(OperatorRole.BILLING))
    assert {reading.get(address).status_code for address in answers} == {200}


def test_a_month_without_charges_says_so_and_one_that_makes_no_sense_is_this_one() -> None:
    client = signed_in(make_operator(OperatorRole.BILLING))
    shown = page(client.get(reverse("operator-billing")))
    months = re.findall(r'<option value="(\d{4}-\d{2})"', shown)
    assert len(months) == 13
    firsts = {month: date.fromisoformat(f"{month}-01") for month in months}
    uses = {month: platform_use(Month.of(first, today=datetime.now(UTC).date())) for month, first in firsts.items()}
    [empty, *_] = [month for month, use in uses.items() if not use.tenants]  # other tests write histories of theirs
    assert "Nothing was charged" in page(client.get(reverse("operator-billing"), {"month": empty}))
    assert "Charged so far" in page(client.get(reverse("operator-billing"), {"month": "1999-13"}))


def test_engines_are_shown_pool_by_pool_and_machine_by_machine() -> None:
    model, machine = make_model(), unique("gpu-node")
    pool = Pool.objects.create(name=unique("pool"), model=model, served_name="m")
    for number, state in enumerate((Replica.State.READY, Replica.State.FAILED)):
        Replica.objects.create(
            pool=pool, name=f"{machine}-{number}", url=f"http://10.1.1.9:{number + 1}", state=state, node=machine,
            state_reason="" if state == Replica.State.READY else "It lists no model at /v1/models.",
        )  # fmt: skip
    client = signed_in(make_operator(OperatorRole.SUPPORT))
    for by, group in (("pool", pool.name), ("machine", machine), ("nonsense", pool.name)):
        shown = page(client.get(reverse("operator-engines"), {"by": by}))
        section = shown[shown.index(f">{group}</h2>") :]
        assert "1 of 2 ready" in section[: section.index("</section>")]
        assert section.index(f"{machine}-1") < section.index(f"{machine}-0")


@pytest.mark.parametrize("month", ["9999-12", "0001-01", "2026-13", "soon"])
def test_a_month_that_cannot_be_closed_is_not_there(month: str) -> None:
    cast, client = make_cast(), signed_in(make_operator(OperatorRole.BILLING))
    assert client.get(f"/operator/closing/{month}/{cast.tenant.slug}").status_code == 404
