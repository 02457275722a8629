"""What Prometheus reads, as its own parser understands it, and who may read it."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, override_settings
from prometheus_client import Metric
from pytest_django import DjangoDbBlocker

from gateway.metrics import view
from gateway.metrics.exposition import exposition
from gateway.metrics.families import FAMILIES, Kind
from gateway.relay.counts import Counts, Series
from identity.models import OperatorKey
from identity.operator_keys import revoke_operator_key
from identity.scopes import OperatorScope, Scope
from tests.gateway.metrics.conftest import CANARY, Used, value
from tests.support.gateway import PATIENCE_S
from tests.support.ledger import make_house
from tests.support.operators import RUNS, HeldOperatorKey, held_operator_key
from tests.support.outage import OwnPostgres

CALL = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "beffroi"}
# What a label may be called; no value of theirs names a person, a key or a tenant.
LABELS = {
    "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type", "error_type",
    "reason", "pool", "replica", "state", "wakes", "job_name", "used_for", "le",
}  # fmt: skip


def test_every_metric_is_in_a_real_scrape_and_is_what_it_is_said_to_be(scrape: dict[str, Metric]) -> None:
    told = {f"{name}_total" if metric.type == "counter" else name: metric.type for name, metric in scrape.items()}
    assert told == {name: family.kind for name, family in FAMILIES.items()}


def test_names_end_in_their_base_unit_and_counters_in_total() -> None:
    for name, family in FAMILIES.items():
        assert name.endswith("_total") == (family.kind is Kind.COUNTER), name
        assert not re.search(r"_(ms|milliseconds|nano|percent|kb|mb)(_|$)", name)
        assert (family.places == 3) <= ("_seconds" in name), name
        assert (family.places == 9) <= ("_euros" in name), name


def test_requests_are_counted_by_model_with_their_tokens(used: Used, scrape: dict[str, Metric]) -> None:
    call = CALL | {"gen_ai_request_model": used.house.model.name}
    durations = [
        sample
        for sample in scrape["gen_ai_server_request_duration_seconds"].samples
        if sample.name.endswith("_count") and call.items() <= sample.labels.items()
    ]
    assert [(sample.labels.get("error_type"), sample.value) for sample in durations] == [(None, 8)]
    assert value(scrape, "gen_ai_client_token_usage_sum", gen_ai_token_type="output", **call) == 8 * 20
    assert value(scrape, "gen_ai_server_time_to_first_token_seconds_count", **call) == 4
    assert 0.005 < value(scrape, "gen_ai_server_time_to_first_token_seconds_sum", **call) < 4 * PATIENCE_S
    assert value(scrape, "gen_ai_server_time_per_output_token_seconds_count", **call) == 4
    assert value(scrape, "beffroi_ledger_charged_euros_total") > 0
    assert value(scrape, "beffroi_gateway_admission_duration_seconds_count") == 8
    assert value(scrape, "beffroi_gateway_settlement_duration_seconds_count") == 8


def test_buckets_are_cumulative_and_their_bounds_are_opentelemetrys(scrape: dict[str, Metric]) -> None:
    samples = scrape["gen_ai_server_time_to_first_token_seconds"].samples
    bounds = [sample.labels["le"] for sample in samples if sample.name.endswith("_bucket")]
    assert bounds[:3] == ["0.001", "0.005", "0.01"]
    assert bounds[-2:] == ["10", "+Inf"]
    counts = [sample.value for sample in samples if sample.name.endswith("_bucket")]
    assert counts == sorted(counts)


def test_refusals_and_engines_that_are_not_there_are_counted(used: Used, scrape: dict[str, Metric]) -> None:
    assert value(scrape, "beffroi_gateway_refusals_total", reason="model_not_found") == 1
    assert value(scrape, "beffroi_gateway_refusals_total", reason="invalid_api_key") >= 1
    assert value(scrape, "beffroi_gateway_engine_failures_total", pool=used.replica.pool.name) >= 1


def test_pools_engines_and_probes_are_told(used: Used, scrape: dict[str, Metric]) -> None:
    pool, model = used.replica.pool.name, used.house.model.name
    assert value(scrape, "beffroi_pool_replicas", pool=pool, state="ready") == 2
    assert value(scrape, "beffroi_pool_replicas", pool=pool, state="failed") == 0
    assert value(scrape, "beffroi_pool_wanted_replicas", pool=f"{pool}-rests", wakes="true") == 2
    assert value(scrape, "beffroi_engine_requests_running", pool=pool) == 0
    assert value(scrape, "beffroi_engine_sample_timestamp_seconds", pool=pool) == pytest.approx(time.time(), abs=120)
    assert value(scrape, "beffroi_probe_success", gen_ai_request_model=model) == 1
    assert value(scrape, "beffroi_probe_first_token_seconds", gen_ai_request_model=model) == 0.3
    assert value(scrape, "beffroi_model_target_first_token_seconds", gen_ai_request_model=model) == 0.75
    assert value(scrape, "beffroi_reconciliation_differs", pool=pool) == 1


def test_the_gateways_and_the_ledger_tell_how_they_stand(scrape: dict[str, Metric]) -> None:
    assert value(scrape, "beffroi_database_up") == 1
    assert value(scrape, "beffroi_gateway_processes") == value(scrape, "beffroi_gateway_ready_processes") == 1
    assert value(scrape, "beffroi_ledger_live_incarnations") >= 1
    assert value(scrape, "beffroi_ledger_check_differences") == 0


def test_I6_no_label_names_a_person_a_key_a_tenant_or_what_they_say(
    used: Used, page: str, scrape: dict[str, Metric]
) -> None:
    assert CANARY.lower() not in page.lower()
    assert used.house.tenant.slug not in page
    assert "bfr_" not in page
    labels = {label for metric in scrape.values() for sample in metric.samples for label in sample.labels}
    assert labels <= LABELS
    assert {label for family in FAMILIES.values() for label in family.labels} <= LABELS


def asked(path: str = "/metrics", host: str = "localhost", **headers: str) -> int:
    """The status of an answer."""
    return Client(HTTP_HOST=host).get(path, headers=headers).status_code


def test_I6_the_address_does_not_exist_for_anybody_else(database: None, reader: HeldOperatorKey) -> None:
    others = held_operator_key(*(scope for scope in OperatorScope if scope is not OperatorScope.METRICS_READ))
    strong = make_house().key(*Scope)
    assert asked() == 404
    for header in (others.header, strong.header, {"Authorization": "Bearer bfo_nonsense"}):
        assert asked(**header) == 404
    assert asked(**reader.header) == 200
    revoke_operator_key(by=RUNS, lookup=reader.row.lookup)
    assert asked(**reader.header) == 404


def test_I6_a_key_whose_time_is_over_reads_nothing(database: None, reader: HeldOperatorKey) -> None:
    OperatorKey.objects.filter(pk=reader.row.pk).update(expires_at=reader.row.created_at)
    assert asked(**reader.header) == 404


def test_nothing_can_be_written_there(reader: HeldOperatorKey) -> None:
    assert Client(HTTP_HOST="localhost").post("/metrics", headers=reader.header).status_code == 405


def test_prometheus_may_ask_each_machine_by_its_address(reader: HeldOperatorKey) -> None:
    assert asked(host="10.42.0.7:8000", **reader.header) == 200


@override_settings(
    PUBLIC_URL="https://llm.test", OPERATOR_URL="https://operator.test", ALLOWED_HOSTS=["operator.test", "llm.test"]
)
def test_where_the_operator_has_a_host_the_metrics_are_not_where_clients_are(reader: HeldOperatorKey) -> None:
    assert asked(host="operator.test", **reader.header) == 200
    assert asked(host="10.42.0.7:8000", **reader.header) == 200
    assert asked(host="llm.test", **reader.header) == 404


@pytest.mark.slow
def test_without_the_database_the_gateways_are_told_of_in_time(
    used: Used, django_db_blocker: DjangoDbBlocker, settings: Any
) -> None:
    """A key that was good is believed; one that was never seen is not."""
    settings.METRICS_FOLDER = used.folder
    with django_db_blocker.unblock(), OwnPostgres(durable=False) as postgres, postgres.used_by_django():
        good, unseen = (held_operator_key(OperatorScope.METRICS_READ) for _ in range(2))
        assert asked(**good.header) == 200
        for leave, come_back in ((postgres.freeze, postgres.thaw), (postgres.stop, postgres.start)):
            leave()
            began = time.monotonic()
            response = Client(HTTP_HOST="localhost").get("/metrics", headers=good.header)
            assert time.monotonic() - began < 9  # a scrape waits for ten seconds
            told = response.content.decode()
            assert "beffroi_database_up 0" in told
            assert "beffroi_gateway_refusals_total" in told
            assert "beffroi_ledger_holds" not in told
            assert asked(**unseen.header) == 404
            come_back()
    view._good_until.clear()


def test_figures_of_another_release_are_left_out() -> None:
    page = exposition(
        [Series("of_tomorrow", (), 1), Series("beffroi_ledger_holds", ("a label",), 1), *Counts().series()]
    )
    assert "of_tomorrow" not in page
    assert "beffroi_ledger_holds" not in page
    assert "beffroi_ledger_charged_euros_total 0\n" in page


def test_I4_money_is_told_to_the_nano_euro() -> None:
    page = exposition([Series("beffroi_ledger_charged_euros_total", (), 12_345_678_900_000_000_001)])
    assert "beffroi_ledger_charged_euros_total 12345678900.000000001\n" in page


def test_a_label_cannot_break_out_of_its_quotes() -> None:
    page = exposition([Series("beffroi_job_failing", ('a"} 1\nup{b="\\',), True)])
    assert page.splitlines()[-1] == 'beffroi_job_failing{job_name="a\\"} 1\\nup{b=\\"\\\\"} 1'


def test_every_metric_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
    rows = set(re.findall(r"^\| `((?:gen_ai|beffroi)_\w+)`", text, re.MULTILINE))
    assert rows == FAMILIES.keys()
