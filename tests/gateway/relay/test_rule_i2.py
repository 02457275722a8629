"""I2, case by case: each admitted request ends in one usage record, charged once by what its engine reported.

Each letter of the rule has its tests here, against a whole gateway. The same at any token, byte and way of leaving:
test_cuts.py, test_engine_faults.py, test_silent_ends.py; gateways that die: test_lost_gateways.py.
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from billing.models import Hold
from tests.gateway.relay.bills import assert_exact, key_with_budget, only_record_of, record_of
from tests.gateway.relay.conftest import Scene
from tests.gateway.relay.leaving import reset
from tests.gateway.simulated_engine.process import EngineProcess, eventually, read_to_end, read_until
from tests.support.gateway import GatewayProcess, error_of, serve
from tests.support.ledger import HeldKey, make_house
from tests.support.outage import OwnPostgres

Fault = dict[str, Any]
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
SLOW = {"tokens_per_second": 25, "output_tokens": 200}


@pytest.fixture
def key(faulty: Scene) -> HeldKey:
    return key_with_budget(faulty.house, faulty.gateway)


# ---- (a) the final usage was received: that


@BOTH
def test_I2_a_the_final_usage_is_charged(faulty: Scene, key: HeldKey, *, stream: bool) -> None:
    """Cached tokens are only in the final usage: the bill shows that it was that one."""
    faults = {"cached_tokens": 3, "output_tokens": 7}
    assert faulty.gateway.chat(faulty.model, key.text, stream=stream, max_tokens=9, simulate=faults).status == 200
    record = only_record_of(key.row)
    told = next(line for line in faulty.engine.story(str(record.request_id)) if line["e"] == "usage")
    assert (record.status, record.cached_quantity, record.output_quantity) == ("completed", 3, 7)
    assert record.input_quantity == told["prompt_tokens"] - 3
    assert_exact(faulty.house, key.row)


@pytest.mark.parametrize("fault", [{"no_done": True}, {"no_usage": "continuous"}, {"no_usage": "final"}], ids=str)
def test_I2_a_a_stream_that_brings_its_usage_in_another_way_is_complete(
    faulty: Scene, key: HeldKey, fault: Fault
) -> None:
    answered = faulty.gateway.chat(faulty.model, key.text, stream=True, max_tokens=9, simulate=fault)
    assert answered.body.endswith(b"data: [DONE]\n\n")
    record = only_record_of(key.row)
    assert (record.status, record.output_quantity) == ("completed", 9)
    assert_exact(faulty.house, key.row)


# ---- (b) the client left or the engine died in the middle of a stream: what each choice last reported, in sum


@pytest.mark.parametrize("events", [1, 2, 7, 20])
def test_I2_b_a_running_stream_left_at_token_k_is_charged_to_token_k(faulty: Scene, key: HeldKey, events: int) -> None:
    connection = faulty.gateway.open_stream(faulty.model, key.text, max_tokens=200, simulate=SLOW)
    read_until(connection, lambda received: received.count(b"data:") >= events)
    reset(connection)
    left_at = time.time()
    record = only_record_of(key.row)
    end = faulty.engine.story(str(record.request_id))[-1]
    assert (record.status, end["reason"]) == ("client_left", "abort")
    assert end["t"] - left_at < 1
    # The first event brings the role only; the last token may have been under way when the connection was cut.
    assert max(events - 1, end["wire"][0] - 1) <= record.output_quantity <= end["wire"][0]
    assert_exact(faulty.house, key.row)


@pytest.mark.parametrize(
    "fault",
    [{"close_after": 4}, {"close_after": 4, "reset": True}, {"hang_after": 4}, {"event_error_after": 4}],
    ids=str,
)
def test_I2_b_an_engine_that_dies_in_a_stream_is_charged_by_what_it_last_reported(
    faulty: Scene, key: HeldKey, fault: Fault
) -> None:
    answered = faulty.gateway.chat(faulty.model, key.text, stream=True, max_tokens=50, simulate=fault)
    assert answered.status == 200
    assert b"[DONE]" not in answered.body
    assert answered.events[-1]["error"]["code"] == "engine_failed"
    record = only_record_of(key.row)
    assert (record.status, record.http_status, record.output_quantity) == ("engine_died", 200, 3)
    assert record.input_quantity > 0
    assert_exact(faulty.house, key.row)


@pytest.mark.parametrize("choices", [1, 3])
def test_I2_b_the_sum_over_the_choices_is_charged(faulty: Scene, key: HeldKey, choices: int) -> None:
    """vLLM's usage of a chunk counts its choice only. The journal says what went on the wire."""
    fault = {"close_after": 14, "output_tokens": 40}
    faulty.gateway.chat(faulty.model, key.text, stream=True, n=choices, max_tokens=50, simulate=fault)
    record = only_record_of(key.row)
    sent = [line for line in faulty.engine.story(str(record.request_id)) if line["e"] == "k"]
    wire = {line["c"]: line["k"] for line in sent}
    assert len(wire) == choices
    assert record.output_quantity == sum(wire.values())
    assert_exact(faulty.house, key.row)


def test_I2_b_where_nothing_was_reported_nothing_is_charged(faulty: Scene, key: HeldKey) -> None:
    fault = {"close_after": 4, "no_usage": True}
    answered = faulty.gateway.chat(faulty.model, key.text, stream=True, max_tokens=50, simulate=fault)
    assert len(answered.events) > 1
    record = only_record_of(key.row)
    assert (record.status, record.cost_nano_eur) == ("engine_died", 0)
    assert_exact(faulty.house, key.row)


# ---- (c) no success from any engine: 0


BEFORE_THE_FIRST_BYTE: list[tuple[Fault, int, str]] = [
    ({"status": 400}, 400, "rejected_by_engine"),
    ({"status": 422}, 400, "rejected_by_engine"),
    ({"status": 401}, 503, "engine_misconfigured"),
    ({"status": 404}, 503, "engine_misconfigured"),
    ({"status": 429, "retry_after": 9}, 503, "overloaded"),
    ({"status": 500}, 502, "engine_failed"),
    ({"status": 503}, 503, "engine_unavailable"),
    ({"status": 302}, 502, "engine_failed"),
    ({"close_before": True}, 502, "engine_failed"),
    ({"close_before": True, "reset": True}, 502, "engine_failed"),
    ({"garbage": "http"}, 502, "engine_failed"),
    ({"garbage": "json"}, 502, "engine_failed"),
    ({"garbage": "empty"}, 502, "engine_failed"),
    ({"hang_before": True}, 502, "engine_failed"),
    ({"hang_after": 0}, 502, "engine_failed"),
]


@BOTH
@pytest.mark.parametrize(("fault", "status", "code"), BEFORE_THE_FIRST_BYTE, ids=str)
def test_I2_c_no_success_from_any_engine_costs_nothing(
    faulty: Scene, key: HeldKey, fault: Fault, status: int, code: str, *, stream: bool
) -> None:
    answered = faulty.gateway.chat(faulty.model, key.text, stream=stream, max_tokens=9, simulate=fault)
    assert (answered.status, error_of(answered)["code"]) == (status, code)
    assert answered.headers["content-type"].startswith("application/json")
    if status == 503:
        assert int(answered.headers["retry-after"]) >= 1
    record = only_record_of(key.row)
    ended = "engine_refused" if code == "rejected_by_engine" else "engine_failed"
    assert (record.status, record.http_status, record.cost_nano_eur) == (ended, status, 0)
    assert record.ttft_ms is None
    assert answered.headers["x-request-id"] == str(record.request_id)
    assert_exact(faulty.house, key.row)


@pytest.mark.parametrize("fault", [{"garbage": "length"}, {"close_after": 10}, {"hang_after": 10}], ids=str)
def test_I2_c_half_a_whole_answer_is_none(faulty: Scene, key: HeldKey, fault: Fault) -> None:
    answered = faulty.gateway.chat(faulty.model, key.text, max_tokens=9, simulate=fault)
    assert (answered.status, error_of(answered)["code"]) == (502, "engine_failed")
    assert only_record_of(key.row).cost_nano_eur == 0
    assert_exact(faulty.house, key.row)


@pytest.mark.parametrize("garbage", ["sse", "chunk"])
def test_I2_c_a_stream_of_nothing_is_no_answer(faulty: Scene, key: HeldKey, garbage: str) -> None:
    faults = {"garbage": garbage}
    answered = faulty.gateway.chat(faulty.model, key.text, max_tokens=9, simulate=faults, stream=True)
    assert (answered.status, error_of(answered)["code"]) == (502, "engine_failed")
    assert only_record_of(key.row).status == "engine_failed"
    assert_exact(faulty.house, key.row)


# ---- (d) the gateway was lost: its last checkpoint


LOST = "heartbeat_s=0.3,checkpoint_s=0.3,silent_s=2,grace_s=0.1"


@pytest.fixture
def lost(
    own_postgres: OwnPostgres,
    relay_engine: EngineProcess,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[tuple[Scene, HeldKey]]:
    """A gateway to be killed, and a key; another gateway survives it. Their own database: they fence who is silent."""
    folder = tmp_path_factory.mktemp("lost")
    with django_db_blocker.unblock(), own_postgres.used_by_django():
        house = make_house()
        serve(house.model, relay_engine)
        with (
            GatewayProcess(folder, LOST, **own_postgres.environment),
            GatewayProcess(folder, LOST, **own_postgres.environment) as victim,
        ):
            yield Scene(house, victim, relay_engine), key_with_budget(house, victim)


def test_I2_d_a_killed_gateways_stream_is_charged_by_its_last_checkpoint(lost: tuple[Scene, HeldKey]) -> None:
    scene, key = lost
    with scene.gateway.open_stream(scene.model, key.text, max_tokens=400, simulate=SLOW) as stream:
        assert eventually(lambda: checkpointed(key) >= 10, 5)
        last = checkpointed(key)
        scene.gateway.kill()
        read_to_end(stream)
    record = record_of(str(Hold.objects.get(key_id=key.row.pk).request_id), 15)
    assert (record.status, record.http_status) == ("gateway_lost", 502)
    sent = scene.engine.story(str(record.request_id))[-1]["wire"][0]
    # A checkpoint every 0.3 s at 25 tokens a second, and what was under way.
    assert last <= record.output_quantity <= sent <= record.output_quantity + 16
    assert record.input_quantity > 0
    assert record.replica != ""
    assert_exact(scene.house, key.row)


def test_I2_d_a_killed_gateways_whole_answer_costs_nothing(lost: tuple[Scene, HeldKey]) -> None:
    scene, key = lost
    with scene.gateway.open_stream(scene.model, key.text, stream=False, max_tokens=400, simulate=SLOW):
        assert eventually(lambda: Hold.objects.filter(key_id=key.row.pk).exists(), 5)
        scene.gateway.kill()
    record = record_of(str(Hold.objects.get(key_id=key.row.pk).request_id), 15)
    assert (record.status, record.cost_nano_eur) == ("gateway_lost", 0)
    assert_exact(scene.house, key.row)


def checkpointed(key: HeldKey) -> int:
    """The output tokens in the last checkpoint of the key's only stream, 0 before the first."""
    hold = Hold.objects.filter(key_id=key.row.pk).first()
    return int((hold.checkpoint or {}).get("output", 0)) if hold is not None else 0


# ---- (e) the usage was omitted: 0, `unmetered`, an alert, the replica ejected after three


@BOTH
def test_I2_e_an_answer_without_usage_costs_nothing_and_its_replica_is_shut_after_three(
    faulty: Scene, key: HeldKey, *, stream: bool
) -> None:
    for _ in range(3):
        answered = faulty.gateway.chat(faulty.model, key.text, stream=stream, max_tokens=5, simulate={"no_usage": True})
        assert answered.status == 200
        record = record_of(answered.headers["x-request-id"])
        assert (record.status, record.cost_nano_eur) == ("unmetered", 0)
        assert f"request {record.request_id}: replica {record.replica}: unmetered" in faulty.gateway.log.read_text()
    refused = faulty.gateway.chat(faulty.model, key.text, max_tokens=5)
    assert (refused.status, error_of(refused)["code"]) == (503, "no_replica")
    assert_exact(faulty.house, key.row)


def test_I2_e_a_shut_replica_is_tried_again_and_stays_when_it_reports(faulty: Scene, key: HeldKey) -> None:
    for _ in range(3):
        faulty.gateway.chat(faulty.model, key.text, max_tokens=5, simulate={"no_usage": True})
    time.sleep(2.1)
    assert faulty.gateway.chat(faulty.model, key.text, max_tokens=5).status == 200
    faulty.gateway.chat(faulty.model, key.text, max_tokens=5, simulate={"no_usage": True})
    assert faulty.gateway.chat(faulty.model, key.text, max_tokens=5).status == 200


# ---- (f) an explicit 0 is believed and flagged


@BOTH
def test_I2_f_an_explicit_0_is_believed_and_flagged(faulty: Scene, key: HeldKey, *, stream: bool) -> None:
    answered = faulty.gateway.chat(faulty.model, key.text, stream=stream, max_tokens=5, simulate={"zero_usage": True})
    assert answered.status == 200
    record = only_record_of(key.row)
    assert (record.status, record.cost_nano_eur, record.input_quantity) == ("zero_usage", 0, 0)
    assert f"request {record.request_id}: replica {record.replica}: zero_usage" in faulty.gateway.log.read_text()
    assert_exact(faulty.house, key.row)


# ---- (g) nonsense: clamped to the hold, an alert


@BOTH
@pytest.mark.parametrize(
    ("nonsense", "status", "output"),
    [("huge", "clamped", 5), ("negative", "clamped", 0), ("strings", "clamped", 0), ("float", "clamped", 0)],
)
def test_I2_g_nonsense_is_clamped_to_the_hold_and_told(
    faulty: Scene, key: HeldKey, nonsense: str, status: str, output: int, *, stream: bool
) -> None:
    faults = {"nonsense_usage": nonsense}
    assert faulty.gateway.chat(faulty.model, key.text, stream=stream, max_tokens=5, simulate=faults).status == 200
    record = only_record_of(key.row)
    assert (record.status, record.output_quantity, record.uncharged_nano_eur) == (status, output, 0)
    assert f"request {record.request_id}: replica {record.replica}: {status}" in faulty.gateway.log.read_text()
    assert_exact(faulty.house, key.row)


@BOTH
@pytest.mark.parametrize("nonsense", ["nulls", "list"])
def test_I2_e_g_a_usage_that_says_nothing_is_none(faulty: Scene, key: HeldKey, nonsense: str, *, stream: bool) -> None:
    faulty.gateway.chat(faulty.model, key.text, stream=stream, max_tokens=5, simulate={"nonsense_usage": nonsense})
    record = only_record_of(key.row)
    assert (record.status, record.cost_nano_eur) in {("unmetered", 0), ("clamped", 0)}


# ---- (h) the client of a request that was not streamed left: 0 unless the final usage came (test_cuts.py: it did)


def test_I2_h_who_leaves_before_a_whole_answer_pays_nothing_and_frees_the_engine(faulty: Scene, key: HeldKey) -> None:
    connection = faulty.gateway.open_stream(faulty.model, key.text, stream=False, max_tokens=200, simulate=SLOW)
    assert eventually(lambda: faulty.engine.metric("num_requests_running") >= 1)
    connection.close()
    assert eventually(lambda: faulty.engine.metric("num_requests_running") == 0, 1)
    record = only_record_of(key.row)
    assert (record.status, record.http_status, record.cost_nano_eur) == ("client_left_early", 499, 0)
    assert_exact(faulty.house, key.row)
