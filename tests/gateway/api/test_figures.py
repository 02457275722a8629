"""The figures of the pages, the same through the API: where the organisation stands, its contract, its statement."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from billing.models import Scope as Holder
from billing.usage.speeds import FEWEST
from gateway.pools.models import Pool, Replica
from identity.scopes import Scope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import HeldKey, House, LedgerGateway, make_model, make_price, unique

A_CHAT_NANO_EUR = 45_000  # `A_CHAT` at the prices of a house


def test_the_overview_has_this_month_and_the_last_days(
    api: Api, house: House, key: HeldKey, gateway: LedgerGateway
) -> None:
    house.budget(Holder.TENANT, house.tenant.pk, 10**9)
    elsewhere = house.key(project=house.project_called("Elsewhere"))
    for one in (key, elsewhere):
        gateway.complete(house, one.row)
    gateway.refuse(house, key.row, "rate_limit_exceeded")
    told = api.get("/api/overview", house.key(Scope.USAGE_READ_TENANT)).json()
    month = told["month"]
    assert (month["spent_nano_eur"], month["limit_nano_eur"], month["is_hard"]) == (2 * A_CHAT_NANO_EUR, 10**9, True)
    assert told["pulse"]["refusals"] == 1
    assert told["last_day"] == told["last_days"]
    assert told["last_day"] == {
        "requests": 2, "failed_requests": 0, "cost_nano_eur": 2 * A_CHAT_NANO_EUR,
        "prompt_tokens": 200, "completion_tokens": 100,
    }  # fmt: skip
    assert [(row["model"], row["requests"]) for row in told["models"]] == [(house.model.name, 2)]
    assert [row["model"] for row in told["days"]] == [house.model.name]
    assert [row["scope"] for row in told["budgets"]] == ["tenant"]
    assert problem_of(api.get("/api/overview", key))["code"] == "scope_missing"


def test_what_needs_care_is_counted_as_far_as_the_key_may_see(api: Api, house: House) -> None:
    soon = timezone.now() + timedelta(days=2)
    house.key(expires_at=soon)
    house.key(expires_at=soon, project=house.project_called("Elsewhere"))
    blind = api.get("/api/overview", house.key(Scope.USAGE_READ_TENANT)).json()["concerns"]
    assert (blind["expiring_keys"], blind["first_expires_at"]) == (0, None)
    seeing = api.get("/api/overview", house.key(Scope.USAGE_READ_TENANT, Scope.KEYS_MANAGE)).json()["concerns"]
    assert (seeing["expiring_keys"], seeing["first_expires_at"][:10]) == (1, soon.date().isoformat())


def test_the_contract_and_a_months_statement(api: Api, house: House, key: HeldKey, gateway: LedgerGateway) -> None:
    reads = house.key(Scope.BILLING_READ)
    gateway.complete(house, key.row)
    contract = api.get("/api/contract", reads).json()
    assert contract["price_list"]
    assert contract["tier"]
    told = api.get("/api/statement", reads).json()
    [line] = told["lines"]
    assert (line["project_id"], line["model"], line["requests"]) == (house.project.pk, house.model.name, 1)
    assert (line["quantities"]["input"], line["quantities"]["output"]) == (100, 50)
    assert (told["total_nano_eur"], told["refunded_nano_eur"]) == (A_CHAT_NANO_EUR, 0)
    assert api.get(f"/api/statement?month={told['month']}", reads).json() == told
    assert api.get("/api/statement?month=2020-02", reads).json()["lines"] == []
    assert api.get("/api/statement?month=2026-13", reads).status_code == 400
    for address in ("/api/contract", "/api/statement"):
        assert problem_of(api.get(address, house.key(Scope.USAGE_READ_TENANT)))["code"] == "scope_missing"


def test_an_estimate_is_in_the_arithmetic_that_bills(api: Api, house: House, key: HeldKey) -> None:
    house.model.template_overhead_tokens, house.model.template_overhead_tokens_per_message = 0, 0
    house.model.save(update_fields=["template_overhead_tokens", "template_overhead_tokens_per_message"])
    asked = f"/api/estimate?model={house.model.name}&input=100&output=50&requests_a_day=10"
    told = api.get(asked, key).json()
    assert (told["request_nano_eur"], told["requests_a_month"]) == (A_CHAT_NANO_EUR, 300)
    assert told["month_nano_eur"] == 300 * A_CHAT_NANO_EUR
    assert [line["meter"] for line in told["lines"]] == ["input", "output"]
    assert api.get("/api/estimate?model=none", key).status_code == 404
    assert api.get("/api/estimate", key).status_code == 400
    unpriced = api.get(f"/api/estimate?model={house.model.name}&images=1", key)
    assert (unpriced.status_code, problem_of(unpriced)["code"]) == (409, "conflict")


def test_estimates_at_all_models_are_those_at_each_the_cheapest_first(api: Api, house: House, key: HeldKey) -> None:
    cheap, small = make_model(), make_model(context_window=100, default_max_output=50)
    for model, price in ((cheap, 1), (small, 0)):
        make_price(house.price_version.rate_card, model, {"input": price, "output": price})
    for model in (house.model, cheap, small):
        pool = Pool.objects.create(model=model, name=unique("pool"), served_name="served")
        place = f"http://127.0.0.1:1/{pool.name}"
        Replica.objects.create(pool=pool, name="one", url=place, state=Replica.State.READY)
    asked = "input=100&output=50&requests_a_day=10"
    told = api.get(f"/api/estimates?{asked}", key).json()["results"]
    assert [(one["model"], one["fits"]) for one in told] == [
        (cheap.name, True), (house.model.name, True), (small.name, False),
    ]  # fmt: skip
    for one in told:
        alone = api.get(f"/api/estimate?model={one['model']}&{asked}", key).json()
        assert alone == {name: value for name, value in one.items() if name not in ("model", "fits")}
    assert not api.get("/api/estimates?input=1&images=1", key).json()["results"]


@pytest.mark.parametrize("requests", [FEWEST - 1, FEWEST])
def test_a_model_tells_how_fast_it_was_measured(
    api: Api, house: House, key: HeldKey, gateway: LedgerGateway, requests: int
) -> None:
    for _ in range(requests):
        gateway.complete(house, key.row, stream=True)
    cache.clear()
    measured = api.get(f"/api/models/{house.model.name}", key).json()["measured"]
    assert measured["first_token_requests"] == requests
    few = requests < FEWEST
    assert [measured[name] is None for name in ("first_token_ms", "tokens_per_second")] == [few, few]
