"""Engines that die at any byte of an answer, or say it in any pieces: the client is told, the bill is exact (I2)."""

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from billing.models import UsageRecord
from tests.gateway.relay.bills import assert_exact, await_model, key_with_budget, only_record_of, record_of
from tests.gateway.relay.conftest import Scene
from tests.gateway.relay.streams import chat_chunk, event, final_chunk, usage_of
from tests.gateway.simulated_engine.process import Answered
from tests.support.gateway import GatewayProcess, error_of, serve
from tests.support.ledger import HeldKey, House, make_house
from tests.support.wire import RecordingServer, Wire, read_request

# Two choices, of which the second is one token behind; at the end a token that only the final usage counts, and
# cached ones, which vLLM tells at the end only. Each event, and what is to be charged once it came whole.
PROMPT = 9
EVENTS: list[tuple[bytes, tuple[int, int, int]]] = [
    (event(chat_chunk("", 0, usage=usage_of(PROMPT, 0))), (PROMPT, 0, 0)),
    (event(chat_chunk("é🙂", 0, usage=usage_of(PROMPT, 1))), (PROMPT, 0, 1)),
    (event(chat_chunk("", 1, usage=usage_of(PROMPT, 0))), (PROMPT, 0, 1)),
    (event(chat_chunk("b", 0, usage=usage_of(PROMPT, 2))), (PROMPT, 0, 2)),
    (event(chat_chunk('\n\ndata: [DONE]\n\n"usage":', 1, usage=usage_of(PROMPT, 1))), (PROMPT, 0, 3)),
    (event(chat_chunk("", 0, "stop", usage=usage_of(PROMPT, 3))), (PROMPT, 0, 4)),
    (event(chat_chunk("", 1, "stop", usage=usage_of(PROMPT, 2))), (PROMPT, 0, 5)),
    (event(final_chunk(usage_of(PROMPT, 6, cached=4))), (PROMPT - 4, 4, 6)),
    (event("[DONE]"), (PROMPT - 4, 4, 6)),
]
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNKS = [b"%x\r\n%b\r\n" % (len(data), data) for data, _ in EVENTS]
STREAM = STREAM_HEAD + b"".join(CHUNKS) + b"0\r\n\r\n"
# From which byte on an event was received: the line end behind its chunk is not needed.
ENDS = [len(STREAM_HEAD) + sum(map(len, CHUNKS[: number + 1])) - 2 for number in range(len(CHUNKS))]
FINAL_USAGE, DONE = len(EVENTS) - 1, len(EVENTS)  # so many events came

BODY = json.dumps(
    {
        "id": "x",
        "choices": [{"index": 0, "message": {"content": "é"}, "finish_reason": "stop"}],
        "usage": usage_of(9, 2),
    }
).encode()
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


def end(wire: Wire) -> None:
    """FIN."""
    wire.socket.shutdown(socket.SHUT_RDWR)


def reset(wire: Wire) -> None:
    """RST."""
    time.sleep(0.02)  # it may overtake what was sent
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.socket.close()


@dataclass
class Dying:
    """An engine that dies at a byte of its answer. It answers each request so."""

    at: int = 0
    how: Callable[[Wire], None] = end

    def serve(self, wire: Wire, seen: bytearray) -> None:
        _, _, body = read_request(wire, seen)
        answer = STREAM if json.loads(body).get("stream") else WHOLE
        wire.send(answer[: self.at])
        self.how(wire)


@pytest.fixture(scope="module")
def dying() -> Dying:
    return Dying()


@pytest.fixture
def house(database: None, impatient: GatewayProcess, dying: Dying) -> Iterator[House]:
    with RecordingServer.on_port(dying.serve) as engine:
        house = make_house()
        serve(house.model, engine)  # type: ignore[arg-type]  # it has a url and a key
        await_model(impatient, house)
        yield house


@pytest.fixture
def dying_key(house: House, impatient: GatewayProcess) -> HeldKey:
    return key_with_budget(house, impatient)


EACH_BYTE = settings(
    max_examples=60, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


@EACH_BYTE
@given(at=st.integers(0, len(STREAM)) | st.sampled_from(ENDS), how=st.sampled_from((end, reset)))
@example(ENDS[0] - 1, end)
@example(ENDS[FINAL_USAGE - 1] - 1, end)  # in the middle of the final usage
@example(ENDS[FINAL_USAGE - 1], reset)  # behind it
@example(ENDS[DONE - 1], end)  # [DONE], but not the end of the chunks
def test_I2_a_b_c_an_engine_that_dies_at_any_byte_of_a_stream_is_paid_what_it_had_reported(
    house: House, impatient: GatewayProcess, dying: Dying, dying_key: HeldKey, at: int, how: Callable[[Wire], None]
) -> None:
    dying.at, dying.how = at, how
    answered = impatient.chat(house.model.name, dying_key.text, stream=True, n=2, max_tokens=9)
    record = record_of(answered.headers["x-request-id"])
    came = sum(at >= place for place in ENDS)
    assert outcome(answered, record) == expected(came)
    assert_exact(house, dying_key.row)


def outcome(answered: Answered, record: UsageRecord) -> tuple[Any, ...]:
    """Status, events with a choice, how it ended for the client; then the record's status and quantities."""
    if answered.status != 200:
        told: tuple[Any, ...] = (answered.status, 0, error_of(answered)["code"])
    else:
        last = "[DONE]" if answered.body.endswith(b"data: [DONE]\n\n") else answered.events[-1]["error"]["code"]
        told = (answered.status, sum(bool(found.get("choices")) for found in answered.events), last)
    return (*told, record.status, (record.input_quantity, record.cached_quantity, record.output_quantity))


def expected(came: int) -> tuple[Any, ...]:
    """The same by the rule, once so many events came whole."""
    if came == 0:
        return 502, 0, "engine_failed", "engine_failed", (0, 0, 0)
    shown = min(came, FINAL_USAGE - 1)
    if came == DONE:
        return 200, shown, "[DONE]", "completed", EVENTS[-1][1]
    return 200, shown, "engine_failed", "engine_died", EVENTS[came - 1][1]


@EACH_BYTE
@given(at=st.integers(0, len(WHOLE)), how=st.sampled_from((end, reset)))
@example(len(WHOLE), reset)
@example(len(WHOLE) - 1, end)
def test_I2_a_c_an_engine_that_dies_at_any_byte_of_a_whole_answer_is_paid_for_all_or_nothing(
    house: House, impatient: GatewayProcess, dying: Dying, dying_key: HeldKey, at: int, how: Callable[[Wire], None]
) -> None:
    dying.at, dying.how = at, how
    answered = impatient.chat(house.model.name, dying_key.text, max_tokens=9)
    record = record_of(answered.headers["x-request-id"])
    if at == len(WHOLE):
        assert (answered.status, answered.body, record.status, record.output_quantity) == (200, BODY, "completed", 2)
    else:
        assert (answered.status, error_of(answered)["code"]) == (502, "engine_failed")
        assert (record.status, record.cost_nano_eur) == ("engine_failed", 0)
    assert_exact(house, dying_key.row)


def test_I2_b_an_engine_that_falls_silent_within_an_event_is_given_up(
    house: House, impatient: GatewayProcess, dying: Dying, dying_key: HeldKey
) -> None:
    dying.at, dying.how = ENDS[3] + 40, lambda wire: time.sleep(4)
    answered = impatient.chat(house.model.name, dying_key.text, stream=True, n=2, max_tokens=9)
    record = record_of(answered.headers["x-request-id"])
    assert outcome(answered, record) == expected(4)


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
