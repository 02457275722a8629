"""Whatever an engine does, the client gets the right status and code, and the ledger stays exact (I2)."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway.relay.bills import assert_exact, house_served_by, key_with_budget, only_record_of
from tests.gateway.relay.conftest import Scene
from tests.support.gateway import GatewayProcess, error_of, running_gateway

Fault = dict[str, Any]

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
]


@pytest.fixture(scope="module")
def impatient(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that gives an engine a second, and rests a sick one for no time worth the name."""
    limits = "first_byte_s=1,silence_s=1,ejected_s=0.01,ejected_most_s=2"
    with running_gateway(tmp_path_factory.mktemp("impatient"), limits) as gateway:
        yield gateway


@pytest.fixture
def faulty(scene: Scene, impatient: GatewayProcess) -> Scene:
    """A house of its own behind the impatient gateway: its replica is judged by this test alone."""
    return Scene(house_served_by(impatient, scene.engine), impatient, scene.engine)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("fault", "status", "code"), BEFORE_THE_FIRST_BYTE, ids=str)
def test_I2_c_no_success_from_any_engine_costs_nothing(
    faulty: Scene, fault: Fault, status: int, code: str, stream: bool
) -> None:
    key = key_with_budget(faulty.house, faulty.gateway)
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
def test_I2_c_half_a_whole_answer_is_none(faulty: Scene, fault: Fault) -> None:
    key = key_with_budget(faulty.house, faulty.gateway)
    answered = faulty.gateway.chat(faulty.model, key.text, max_tokens=9, simulate=fault)
    assert (answered.status, error_of(answered)["code"]) == (502, "engine_failed")
    assert only_record_of(key.row).cost_nano_eur == 0
    assert_exact(faulty.house, key.row)


def test_I2_c_a_stream_of_nothing_is_no_answer(faulty: Scene) -> None:
    key = key_with_budget(faulty.house, faulty.gateway)
    answered = faulty.gateway.chat(faulty.model, key.text, max_tokens=9, simulate={"garbage": "sse"}, stream=True)
    assert (answered.status, error_of(answered)["code"]) == (502, "engine_failed")
    assert only_record_of(key.row).status == "engine_failed"
    assert_exact(faulty.house, key.row)


@pytest.mark.parametrize(
    "fault",
    [
        {"close_after": 4},
        {"close_after": 4, "reset": True},
        {"hang_after": 4},
        {"event_error_after": 4},
    ],
    ids=str,
)
def test_I2_b_an_engine_that_dies_mid_stream_is_charged_by_what_it_last_reported(faulty: Scene, fault: Fault) -> None:
    key = key_with_budget(faulty.house, faulty.gateway)
    answered = faulty.gateway.chat(faulty.model, key.text, stream=True, max_tokens=50, simulate=fault)
    assert answered.status == 200
    assert b"[DONE]" not in answered.body
    assert answered.events[-1]["error"]["code"] == "engine_failed"
    record = only_record_of(key.row)
    assert (record.status, record.http_status) == ("engine_died", 200)
    assert 0 < record.output_quantity <= 4
    assert record.input_quantity > 0
    assert_exact(faulty.house, key.row)


@pytest.mark.parametrize("choices", [1, 3])
def test_I2_b_the_sum_over_the_choices_is_charged(faulty: Scene, choices: int) -> None:
    """vLLM's usage of a chunk counts its choice only. The journal says what went on the wire."""
    key = key_with_budget(faulty.house, faulty.gateway)
    fault = {"close_after": 14, "output_tokens": 40}
    faulty.gateway.chat(faulty.model, key.text, stream=True, n=choices, max_tokens=50, simulate=fault)
    record = only_record_of(key.row)
    sent = [line for line in faulty.engine.story(str(record.request_id)) if line["e"] == "k"]
    wire = {line["c"]: line["k"] for line in sent}
    assert len(wire) == choices
    assert record.output_quantity == sum(wire.values())
    assert_exact(faulty.house, key.row)


@pytest.mark.parametrize("fault", [{"no_done": True}, {"no_usage": "continuous"}, {"no_usage": "final"}], ids=str)
def test_I2_a_a_stream_that_brings_its_usage_in_another_way_is_complete(faulty: Scene, fault: Fault) -> None:
    key = key_with_budget(faulty.house, faulty.gateway)
    answered = faulty.gateway.chat(faulty.model, key.text, stream=True, max_tokens=9, simulate=fault)
    assert answered.body.endswith(b"data: [DONE]\n\n")
    record = only_record_of(key.row)
    assert (record.status, record.output_quantity) == ("completed", 9)
    assert_exact(faulty.house, key.row)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_I2_e_an_answer_without_usage_costs_nothing_and_its_replica_is_shut_after_three(
    faulty: Scene, stream: bool
) -> None:
    key = key_with_budget(faulty.house, faulty.gateway)
    for _ in range(3):
        answered = faulty.gateway.chat(faulty.model, key.text, stream=stream, max_tokens=5, simulate={"no_usage": True})
        assert answered.status == 200
    refused = faulty.gateway.chat(faulty.model, key.text, max_tokens=5)
    assert (refused.status, error_of(refused)["code"]) == (503, "no_replica")
    assert "unmetered" in faulty.gateway.log.read_text()
    assert_exact(faulty.house, key.row)


def test_I2_e_a_shut_replica_is_tried_again_and_stays_when_it_reports(faulty: Scene) -> None:
    key = key_with_budget(faulty.house, faulty.gateway)
    for _ in range(3):
        faulty.gateway.chat(faulty.model, key.text, max_tokens=5, simulate={"no_usage": True})
    time.sleep(2.1)
    assert faulty.gateway.chat(faulty.model, key.text, max_tokens=5).status == 200
    faulty.gateway.chat(faulty.model, key.text, max_tokens=5, simulate={"no_usage": True})
    assert faulty.gateway.chat(faulty.model, key.text, max_tokens=5).status == 200


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_I2_f_an_explicit_0_is_believed_and_flagged(faulty: Scene, stream: bool) -> None:
    key = key_with_budget(faulty.house, faulty.gateway)
    answered = faulty.gateway.chat(faulty.model, key.text, stream=stream, max_tokens=5, simulate={"zero_usage": True})
    assert answered.status == 200
    record = only_record_of(key.row)
    assert (record.status, record.cost_nano_eur, record.input_quantity) == ("zero_usage", 0, 0)
    assert "zero_usage" in faulty.gateway.log.read_text()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("nonsense", ["huge", "negative", "strings", "float"])
def test_I2_g_nonsense_is_clamped_to_the_hold_and_told(faulty: Scene, nonsense: str, stream: bool) -> None:
    key = key_with_budget(faulty.house, faulty.gateway)
    answered = faulty.gateway.chat(
        faulty.model, key.text, stream=stream, max_tokens=5, simulate={"nonsense_usage": nonsense}
    )
    assert answered.status == 200
    record = only_record_of(key.row)
    assert record.status in ("clamped", "zero_usage", "unmetered")
    assert record.output_quantity <= 5
    assert record.uncharged_nano_eur == 0
    assert record.cost_nano_eur >= 0
    if nonsense == "huge":
        assert (record.status, record.output_quantity) == ("clamped", 5)
    assert record.status in faulty.gateway.log.read_text()
    assert_exact(faulty.house, key.row)


@pytest.mark.parametrize("nonsense", ["nulls", "list"])
def test_a_usage_that_says_nothing_is_none(faulty: Scene, nonsense: str) -> None:
    key = key_with_budget(faulty.house, faulty.gateway)
    faulty.gateway.chat(faulty.model, key.text, max_tokens=5, simulate={"nonsense_usage": nonsense})
    record = only_record_of(key.row)
    assert (record.status, record.cost_nano_eur) in {("unmetered", 0), ("zero_usage", 0), ("clamped", 0)}


def test_cached_and_reasoning_tokens_are_billed_on_their_own_meters(faulty: Scene) -> None:
    key = key_with_budget(faulty.house, faulty.gateway)
    text = "A bell tower of the fifteenth century. " * 40
    simulated = {"cached_tokens": 64, "reasoning_tokens": 7, "output_tokens": 20}
    faulty.gateway.chat(faulty.model, key.text, text, max_tokens=50, simulate=simulated)
    record = only_record_of(key.row)
    assert (record.cached_quantity, record.reasoning_quantity) == (64, 7)
    assert record.cached_nano_eur == 64 * 50
    assert record.reasoning_nano_eur == 7 * 600
    assert_exact(faulty.house, key.row)


def test_an_answer_in_any_pieces_is_billed_the_same(faulty: Scene) -> None:
    key = key_with_budget(faulty.house, faulty.gateway)
    bodies = set()
    for simulated in ({"split": 1}, {"batch": 5}, {"crlf": True, "comments": 2}, {}):
        answered = faulty.gateway.chat(
            faulty.model,
            key.text,
            stream=True,
            max_tokens=9,
            simulate=simulated,
            stream_options={"include_usage": True},
        )
        bodies.add(tuple(event["choices"][0]["delta"].get("content") for event in answered.events if event["choices"]))
    assert len(bodies) == 1
    assert_exact(faulty.house, key.row)
