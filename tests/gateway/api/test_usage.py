"""What a client reads of its usage is what the ledger wrote."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.pricing import Quantities
from identity.scopes import Scope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import HeldKey, House, LedgerGateway


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [record["request_id"] for record in response.json()["results"]]


def test_a_record_tells_the_exact_tokens_prices_and_cost(
    api: Api, house: House, key: HeldKey, gateway: LedgerGateway
) -> None:
    admitted = gateway.admit(house, key.row, stream=True, label="invoice run", max_tokens_asked=500)
    gateway.settle(house, admitted.request_id, Quantities(input=70, cached=30, output=40, reasoning=10))

    [record] = api.get(f"/api/usage/records?request_id={admitted.request_id}", key).json()["results"]

    assert record["request_id"] == str(admitted.request_id)
    assert record["model"] == house.model.name
    assert record["status"] == "completed"
    assert (record["prompt_tokens"], record["cached_tokens"]) == (100, 30)
    assert (record["completion_tokens"], record["reasoning_tokens"]) == (50, 10)
    # 70 x 150 + 30 x 50 + 50 x 600 nano-EUR a token: reasoning has no price of its own here.
    assert record["cost_nano_eur"] == 10_500 + 1_500 + 30_000
    assert record["uncharged_nano_eur"] == 0
    assert [tuple(line.values()) for line in record["meters"]] == [
        ("input", 70, 150_000_000, 10_500),
        ("cached", 30, 50_000_000, 1_500),
        ("output", 40, 600_000_000, 24_000),
        ("reasoning", 10, 600_000_000, 6_000),
    ]
    assert (record["ttft_ms"], record["duration_ms"], record["stream"]) == (12, 345, True)
    assert (record["label"], record["max_tokens_asked"], record["max_tokens_given"]) == ("invoice run", 500, 1_024)
    assert (record["key_id"], record["project_id"]) == (key.row.lookup, house.project.pk)
    assert record["price_version_id"] == house.price_version.pk
    assert datetime.fromisoformat(record["admitted_at"]) <= datetime.fromisoformat(record["settled_at"])


def test_what_was_worth_more_than_its_hold_is_shown_as_uncharged(
    api: Api, house: House, key: HeldKey, gateway: LedgerGateway
) -> None:
    admitted = gateway.admit(house, key.row, input_tokens=10, output_tokens=10)
    gateway.settle(house, admitted.request_id, Quantities(input=10, output=20))

    [record] = api.get("/api/usage/records", key).json()["results"]

    assert (record["cost_nano_eur"], record["uncharged_nano_eur"]) == (7_500, 6_000)
    assert sum(line["amount_nano_eur"] for line in record["meters"]) == 13_500


def test_what_was_given_back_of_a_withheld_answer_is_shown_with_it(
    api: Api, house: House, key: HeldKey, gateway: LedgerGateway
) -> None:
    withheld, other = (gateway.complete(house, key.row) for _ in range(2))
    gateway.connection.execute("select give_back_v1(%s, %s)", [gateway.incarnation, [withheld]])

    records = api.get("/api/usage/records", key).json()["results"]

    costs = {record["request_id"]: (record["cost_nano_eur"], record["refunded_nano_eur"]) for record in records}
    assert costs == {str(withheld): (45_000, 45_000), str(other): (45_000, 0)}


def test_a_key_reads_its_own_records_and_a_strong_one_those_of_the_tenant(
    api: Api, house: House, key: HeldKey, strangers_key: HeldKey, gateway: LedgerGateway
) -> None:
    reader = house.key(Scope.USAGE_READ_TENANT, project=house.project_called("Elsewhere"))
    mine, theirs = gateway.complete(house, key.row), gateway.complete(house, reader.row)

    assert ids(api.get("/api/usage/records", key)) == [str(mine)]
    assert ids(api.get(f"/api/usage/records?request_id={theirs}", key)) == []
    assert ids(api.get("/api/usage/records", reader)) == [str(theirs), str(mine)]
    assert ids(api.get(f"/api/usage/records?key={key.row.lookup}", reader)) == [str(mine)]
    assert ids(api.get("/api/usage/records", strangers_key)) == []
    assert ids(api.get(f"/api/usage/records?request_id={mine}", strangers_key)) == []


def test_filtering_by_another_key_tells_a_weak_key_no_and_a_stranger_nothing(
    api: Api, house: House, key: HeldKey, strangers_key: HeldKey
) -> None:
    for address in ("/api/usage/records", "/api/usage/summary", "/api/usage/refusals", "/api/usage/refusals/counts"):
        weak = api.get(f"{address}?key={house.key().row.lookup}", key)
        assert (weak.status_code, problem_of(weak)["code"]) == (403, "scope_missing")
        for asked in (f"key={key.row.lookup}", "key=0123456789", f"project={house.project.pk}", "project=1"):
            stranger = api.get(f"{address}?{asked}", strangers_key)
            assert (stranger.status_code, problem_of(stranger)["code"]) == (404, "not_found"), asked


def test_records_are_filtered_by_time_model_status_and_project(
    api: Api, house: House, key: HeldKey, gateway: LedgerGateway
) -> None:
    first = gateway.complete(house, key.row)
    cut = gateway.admit(house, key.row)
    gateway.settle(house, cut.request_id, Quantities(input=10), status="client_left")
    between = api.get(f"/api/usage/records?request_id={cut.request_id}", key).json()["results"][0]["admitted_at"]
    now = datetime.now(UTC)

    def found(**filters: str) -> list[str]:
        response = api.client.get("/api/usage/records", filters, headers=key.header)
        return ids(response)

    assert found(status="client_left") == [str(cut.request_id)]
    assert found(model=house.model.name) == [str(cut.request_id), str(first)]
    assert found(model="another") == []
    assert found(project=str(house.project.pk), status="completed") == [str(first)]
    assert found(to=between) == [str(first)]
    assert found(**{"from": between}) == [str(cut.request_id)]
    assert found(**{"from": (now + timedelta(minutes=1)).isoformat()}) == []


def test_pages_show_each_record_once_while_others_are_written(
    api: Api, house: House, key: HeldKey, gateway: LedgerGateway
) -> None:
    before = [str(gateway.complete(house, key.row)) for _ in range(7)]
    slow = gateway.admit(house, key.row)
    seen: list[str] = []
    address = "/api/usage/records?limit=2"
    while address:
        page = api.get(address, key)
        seen += ids(page)
        address = page.json()["next"]
        gateway.complete(house, key.row)
        if slow and len(seen) > 3:
            gateway.settle(house, slow.request_id, Quantities(input=1))
            slow = None  # type: ignore[assignment]
    assert seen == sorted(set(seen), reverse=True)
    assert [request_id for request_id in seen if request_id in before] == before[::-1]


def test_a_page_takes_the_same_few_queries_however_long_it_is(
    api: Api, house: House, strong_key: HeldKey, gateway: LedgerGateway
) -> None:
    counts: list[int] = []
    for _ in range(2):
        gateway.complete(house, house.key(project=house.project_called(f"P{len(counts)}")).row)
        api.use(strong_key)
        with CaptureQueriesContext(connection) as queries:
            assert api.get("/api/usage/records", strong_key).status_code == 200
        counts.append(len(queries))
    assert counts == [6, 6]  # the key, the records, their prices and refunds, the names of keys and of projects


def test_a_summary_adds_up_by_group_and_interval(
    api: Api, house: House, strong_key: HeldKey, gateway: LedgerGateway
) -> None:
    other = house.key(project=house.project_called("Other"))
    gateway.complete(house, strong_key.row, Quantities(input=100, output=50))
    gateway.complete(house, other.row, Quantities(input=10, cached=5))
    failed = gateway.admit(house, other.row)
    gateway.settle(house, failed.request_id, Quantities(), status="engine_failed", http_status=502)

    by_key = api.get("/api/usage/summary?by=key,project&interval=day", strong_key).json()
    assert by_key["time_zone"] == "Europe/Paris"
    mine, others = sorted(by_key["results"], key=lambda row: row["cost_nano_eur"], reverse=True)
    assert (mine["key_id"], mine["requests"], mine["failed_requests"]) == (strong_key.row.lookup, 1, 0)
    assert (mine["prompt_tokens"], mine["completion_tokens"], mine["cost_nano_eur"]) == (100, 50, 45_000)
    assert (others["project_name"], others["requests"], others["failed_requests"]) == ("Other", 2, 1)
    assert (others["prompt_tokens"], others["cached_tokens"], others["cost_nano_eur"]) == (15, 5, 1_750)
    assert mine["model"] is None
    midnight = datetime.fromisoformat(mine["starts_at"])
    assert (midnight.hour, midnight.utcoffset()) == (0, datetime.now(ZoneInfo("Europe/Paris")).utcoffset())

    [all_] = api.get("/api/usage/summary?by=&interval=all", strong_key).json()["results"]
    assert (all_["requests"], all_["cost_nano_eur"], all_["starts_at"]) == (3, 46_750, None)
    hours = api.get("/api/usage/summary?by=model&interval=hour", strong_key).json()["results"]
    assert {row["model"] for row in hours} == {house.model.name}
    assert sum(row["cost_nano_eur"] for row in hours) == 46_750


def test_usage_is_added_up_by_label_and_its_records_are_found(
    api: Api, house: House, key: HeldKey, gateway: LedgerGateway
) -> None:
    labelled = gateway.complete(house, key.row, label="invoice run")
    gateway.complete(house, key.row)
    strong = house.key(Scope.USAGE_READ_TENANT)
    assert api.get("/api/usage/labels", strong).json()["results"] == [
        {
            "label": "invoice run", "requests": 1, "failed_requests": 0, "prompt_tokens": 100, "completion_tokens": 50,
            "cost_nano_eur": 45_000,
        }
    ]  # fmt: skip
    assert api.get("/api/usage/labels?model=another", strong).json()["results"] == []
    assert problem_of(api.get("/api/usage/labels", key))["code"] == "scope_missing"
    assert api.get("/api/usage/labels?key=1", strong).status_code == 400
    assert ids(api.get("/api/usage/records?label=invoice+run", key)) == [str(labelled)]
    assert ids(api.get("/api/usage/records?label=another", key)) == []


def test_refusals_are_listed_and_counted(api: Api, house: House, key: HeldKey, gateway: LedgerGateway) -> None:
    refused = [str(gateway.refuse(house, key.row, "rate_limit_exceeded", "7")) for _ in range(5)]
    refused.append(str(gateway.refuse(house, key.row, "insufficient_quota")))
    seen: list[str] = []
    address = "/api/usage/refusals?limit=2"
    while address:
        page = api.get(address, key)
        seen += ids(page)
        address = page.json()["next"]
    assert seen == refused[::-1]

    [one] = api.get("/api/usage/refusals?code=insufficient_quota", key).json()["results"]
    assert one["model"] == house.model.name
    assert one["key_id"] == key.row.lookup
    counts = api.get("/api/usage/refusals/counts", key).json()["results"]
    assert {row["code"]: row["refusals"] for row in counts} == {"rate_limit_exceeded": 5, "insufficient_quota": 1}


def test_parameters_that_make_no_sense_are_refused(api: Api, key: HeldKey) -> None:
    for address, field in {
        "/api/usage/records?modle=x": "modle",
        "/api/usage/records?to=": "to",
        "/api/usage/records?key=": "key",
        "/api/usage/records?status=": "status",
        "/api/usage/records?limit=0": "limit",
        "/api/usage/records?limit=1001": "limit",
        "/api/usage/records?limit=5&limit=6": "limit",
        "/api/usage/records?cursor=x": "cursor",
        "/api/usage/records?from=yesterday": "from",
        "/api/usage/records?from=0001-01-01": "from",
        "/api/usage/records?model=%00": "model",
        "/api/usage/refusals?cursor=eA==": "cursor",
        "/api/usage/summary?by=colour": "by",
        "/api/usage/summary?interval=week": "interval",
        "/api/usage/summary?from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z": "from",
        "/api/usage/summary?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": "to",
        "/api/models?limit=1": "limit",
    }.items():
        response = api.get(address, key)
        assert response.status_code == 400, address
        assert [error["field"] for error in problem_of(response)["errors"]] == [field], address
