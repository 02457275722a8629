"""Clients that leave at any token and in any way: the engine is free in under a second, the bill exact to the token.

The engine falls silent after so many events, and its journal says what it had sent by then. Nothing is under way when
the client leaves, so that the charge has to be just that: not a token more, not one less.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoDbBlocker

from billing.models import MeterPrice, UsageRecord
from billing.models import Scope as Holder
from billing.models.prices import Meter
from gateway.relay.fields import Endpoint
from tests.gateway.relay.bills import assert_exact, await_model, budget_ids, key_with_budget
from tests.gateway.relay.conftest import MODELS, Scene
from tests.gateway.relay.leaving import WAYS, Leave, half_close, reset, say_goodbye, see_events
from tests.gateway.simulated_engine.process import EngineProcess, eventually
from tests.support.gateway import GatewayProcess, serve
from tests.support.ledger import HeldKey, House, make_house, make_model
from tests.support.tls import GatewayOverTls
from tests.support.wire import Wire, chat_body, request

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
# Text of each token: of one byte, of several, and what a careless reader would take for the end of an event.
TEXTS = ("x", "é🙂", '\n\ndata: {"usage":{"completion_tokens":999}}')
SOON_S = 1.0  # the engine of a client that left is free


@dataclass(frozen=True)
class Stream:
    """A streamed request whose engine falls silent after `events` events."""

    endpoint: str = CHAT
    prompts: int = 1
    choices: int = 1
    tokens: int = 4
    thinking: int = 0
    events: int = 3
    batch: int = 1
    text: str = "x"
    shows_usage: bool = False

    @property
    def sequences(self) -> int:
        return self.choices * self.prompts

    @property
    def all_events(self) -> int:
        """With the final usage; a chat begins with the role of each choice."""
        return self.sequences * (self.tokens + (self.endpoint == CHAT)) + 1

    @property
    def seen_events(self) -> int:
        """Those that its client sees: the final usage waits for the charge."""
        return min(self.events, self.all_events - 1)

    def body(self, model: str) -> bytes:
        simulate: dict[str, Any] = {"hang_after": self.events, "chunk_text": self.text, "batch": self.batch}
        simulate |= {"output_tokens": self.tokens, "reasoning_tokens": self.thinking}
        members: dict[str, Any] = {"model": model, "stream": True, "n": self.choices, "simulate": simulate}
        members["max_tokens"] = self.tokens + 5
        if self.shows_usage:
            members["stream_options"] = {"include_usage": True}
        if self.endpoint == CHAT:
            members["messages"] = [{"role": "user", "content": "Hello there"}]
        else:
            members["prompt"] = ["Hello there"] * self.prompts
        return json.dumps(members).encode()


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    endpoint = draw(st.sampled_from((CHAT, COMPLETIONS)))
    prompts = 1 if endpoint == CHAT else draw(st.integers(1, 2))
    tokens = draw(st.integers(2, 6))
    stream = Stream(
        endpoint, prompts, draw(st.integers(1, 3)), tokens,
        thinking=draw(st.sampled_from((0, 1))) if endpoint == CHAT else 0,
        batch=draw(st.sampled_from((1, 1, 3))), text=draw(st.sampled_from(TEXTS)), shows_usage=draw(st.booleans()),
    )  # fmt: skip
    least = stream.choices if endpoint == CHAT else 1
    return Stream(**{**vars(stream), "events": draw(st.integers(least, stream.all_events))})


@pytest.fixture(scope="module")
def over_tls(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayOverTls(tmp_path_factory.mktemp("tls")) as gateway:
        yield gateway


@pytest.fixture
def key(scene: Scene, over_tls: GatewayProcess) -> HeldKey:
    key = key_with_budget(scene.house, scene.gateway)
    over_tls.await_key(key.text)
    return key


def record_labelled(label: str) -> UsageRecord:
    """The one record of the request with that label."""
    assert eventually(lambda: UsageRecord.objects.filter(label=label).exists(), 5), "no record"
    return UsageRecord.objects.get(label=label)


def send(wire: Wire, key: HeldKey, path: str, body: bytes) -> str:
    """Send a request; its label, by which it is found again."""
    label = uuid4().hex
    wire.send(request("POST", path, body, f"authorization: Bearer {key.text}", f"x-beffroi-label: {label}"))
    return label


def assert_pools_are_well(gateway: GatewayProcess, model: str, key: HeldKey) -> None:
    """Whoever asks next gets an answer, and its own."""
    for _ in range(3):
        answered = gateway.chat(model, key.text, max_tokens=2)
        assert answered.status == 200
        assert answered.headers["x-request-id"] in answered.json["id"]


def assert_charged_as_journalled(scene: Scene, label: str, left_at: float) -> None:
    """The record says what the journal says, and the engine was free soon after the client had left."""
    record = record_labelled(label)
    story = scene.engine.story(str(record.request_id))
    start, end = (next(line for line in story if line["e"] == kind) for kind in ("start", "end"))
    assert (record.status, record.http_status, end["reason"]) == ("client_left", 499, "abort")
    assert end["t"] - left_at < SOON_S
    thought = sum(min(tokens, start["reasoning_tokens"]) for tokens in end["wire"])
    assert (record.output_quantity, record.reasoning_quantity) == (sum(end["wire"]) - thought, thought)
    # The prompt of a choice that has not spoken was not reported yet.
    choices = {line["c"] for line in story if line["e"] == "k"} if start["endpoint"] == COMPLETIONS else {0}
    prompts = {choice // start["n"] for choice in choices}
    assert record.input_quantity == start["prompt_tokens"] // start["prompts"] * len(prompts) > 0


@dataclass(frozen=True)
class Departure:
    """How a client leaves a stream. `is_warm`: it is not the connection's first request."""

    stream: Stream = Stream()
    leave: Leave = reset
    is_over_tls: bool = False
    is_warm: bool = False
    share_read: float = 1  # of the bytes that came: perhaps half an event, or half a letter


DEPARTURES = st.builds(
    Departure, streams(), st.sampled_from(WAYS), st.booleans(), st.booleans(), st.floats(0, 1)
)  # fmt: skip


@settings(
    max_examples=60, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(departure=DEPARTURES)
@example(Departure(Stream(events=1)))  # the role, and no token
@example(Departure(Stream(events=5), is_warm=True))  # the last token, and no final usage
@example(Departure(Stream(events=6), half_close, is_over_tls=True))  # the final usage, and no [DONE]
@example(Departure(Stream(events=4, batch=3, text="é🙂"), share_read=0.9))
@example(Departure(Stream(COMPLETIONS, prompts=2, choices=2, events=3)))  # one choice has said nothing
def test_I2_b_whoever_leaves_a_stream_pays_what_the_engine_had_reported(
    scene: Scene, over_tls: GatewayProcess, key: HeldKey, departure: Departure
) -> None:
    gateway, stream = over_tls if departure.is_over_tls else scene.gateway, departure.stream
    with Wire(gateway.connect()) as wire:
        if departure.is_warm:
            send(wire, key, CHAT, Stream(events=99).body(scene.model))
            assert wire.answer().body.endswith(b"data: [DONE]\n\n")
        label = send(wire, key, stream.endpoint, stream.body(scene.model))
        seen = see_events(wire.socket, stream.seen_events)
        if not departure.is_over_tls:
            wire.exactly(int(len(seen) * departure.share_read))
        left_at = time.time()
        departure.leave(wire.socket)
        assert_charged_as_journalled(scene, label, left_at)
    assert_exact(scene.house, key.row)
    assert_pools_are_well(gateway, scene.model, key)


# ---- before the first byte


@pytest.fixture
def lock(scene: Scene, key: HeldKey, owner_database_url: str) -> Iterator[psycopg.Connection]:
    """A connection; `hold_ledger` with it, and neither admission nor charge of the key comes through."""
    assert scene.gateway.chat(scene.model, key.text, max_tokens=1).status == 200  # its budget has a period now
    with psycopg.connect(owner_database_url) as connection:
        yield connection


def hold_ledger(lock: psycopg.Connection, key: HeldKey) -> None:
    """Keep the key's budget from everybody until the lock's transaction ends."""
    lock.execute("select from billing_budget_period where budget_id = any(%s) for update", [budget_ids(key.row)])


def is_waited_for(lock: psycopg.Connection) -> bool:
    """Whether a call of the ledger waits for the lock."""
    found = lock.execute(
        "select count(*) from pg_stat_activity where %s = any(pg_blocking_pids(pid))", [lock.info.backend_pid]
    ).fetchone()
    return found is not None and found[0] > 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_I2_b_h_who_leaves_while_its_admission_waits_reaches_no_engine_and_pays_nothing(
    scene: Scene, key: HeldKey, lock: psycopg.Connection, *, stream: bool
) -> None:
    hold_ledger(lock, key)
    with Wire(scene.gateway.connect()) as wire:
        label = send(wire, key, CHAT, chat_body(scene.model, stream=stream))
        assert eventually(lambda: is_waited_for(lock), 5)
        reset(wire.socket)
        assert scene.gateway.get("/health/live").status == 200  # by then it has seen that
    lock.rollback()
    record = record_labelled(label)
    assert record.status == ("client_left" if stream else "client_left_early")
    assert (record.http_status, record.cost_nano_eur, record.replica) == (499, 0, "")
    assert not scene.engine.journal(str(record.request_id))
    assert_exact(scene.house, key.row)
    assert_pools_are_well(scene.gateway, scene.model, key)


@pytest.fixture(scope="module")
def houses(django_db_setup: None, django_db_blocker: DjangoDbBlocker, relay_engine: EngineProcess) -> dict[str, House]:
    """A house for each kind of model that answers with no text."""
    found = {}
    with django_db_blocker.unblock():
        for kind, served_name in (("embedding", "demo/embed"), ("rerank", "demo/rerank")):
            house = make_house(make_model(kind=kind))
            MeterPrice.objects.create(version=house.price_version, meter=Meter("documents"), nano_eur_per_million=1)
            serve(house.model, relay_engine, served_name)
            found[kind] = house
    return found


WHOLE_ANSWERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": (CHAT, "chat", {"messages": [{"role": "user", "content": "Hello there"}]}),
    "chat, streamed": (CHAT, "chat", {"messages": [{"role": "user", "content": "Hello there"}], "stream": True}),
    "completions": (COMPLETIONS, "chat", {"prompt": "Hello there"}),
    "completions, streamed": (COMPLETIONS, "chat", {"prompt": "Hello there", "stream": True}),
    "embeddings": ("/v1/embeddings", "embedding", {"input": "Hello there"}),
    "rerank": ("/v1/rerank", "rerank", {"query": "Hello", "documents": ["there"]}),
}


def test_every_endpoint_is_left_below() -> None:
    assert {path for path, _, _ in WHOLE_ANSWERS.values()} == {endpoint.paths[0] for endpoint in Endpoint}


@pytest.mark.parametrize("leave", [reset, half_close], ids=["reset", "half-close"])
@pytest.mark.parametrize("asked", WHOLE_ANSWERS)
def test_I2_b_h_who_leaves_before_the_first_byte_frees_the_engine_and_pays_nothing(
    scene: Scene, houses: dict[str, House], asked: str, leave: Leave
) -> None:
    path, kind, members = WHOLE_ANSWERS[asked]
    house = houses.get(kind, scene.house)
    await_model(scene.gateway, house)
    key = key_with_budget(house, scene.gateway)
    body = json.dumps({"model": house.model.name, "simulate": {"first_token_ms": 60_000}, **members}).encode()
    with Wire(scene.gateway.connect()) as wire:
        label = send(wire, key, path, body)
        assert eventually(lambda: is_running(scene), 5)
        left_at = time.time()
        leave(wire.socket)
        record = record_labelled(label)
    end = scene.engine.story(str(record.request_id))[-1]
    assert (end["reason"], end["t"] - left_at < SOON_S) == ("abort", True)
    assert record.status == ("client_left" if "stream" in members else "client_left_early")
    assert (record.http_status, record.cost_nano_eur) == (499, 0)
    assert_exact(house, key.row)
    assert eventually(lambda: not is_running(scene))


def is_running(scene: Scene) -> bool:
    """Whether the engine says that it works on something."""
    return any(scene.engine.metric("num_requests_running", model) for model in MODELS)


# ---- after the last token


@pytest.mark.parametrize("leave", [reset, half_close], ids=["reset", "half-close"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_I2_a_h_who_leaves_while_the_charge_of_a_complete_answer_waits_pays_for_all_of_it(
    scene: Scene, key: HeldKey, lock: psycopg.Connection, leave: Leave, *, stream: bool
) -> None:
    """It was admitted; then the ledger is held, and the answer is complete but for its last byte."""
    pace = {"output_tokens": 4, "tokens_per_second": 20}
    with Wire(scene.gateway.connect()) as wire:
        label = send(wire, key, CHAT, chat_body(scene.model, stream=stream, simulate=pace))
        assert eventually(lambda: is_running(scene), 5)
        hold_ledger(lock, key)
        assert eventually(lambda: is_waited_for(lock), 5)
        leave(wire.socket)
        assert scene.gateway.get("/health/live").status == 200
    lock.rollback()
    record = record_labelled(label)
    usage = next(line for line in scene.engine.story(str(record.request_id)) if line["e"] == "usage")
    assert (record.status, record.http_status) == ("completed", 200)
    assert (record.input_quantity, record.output_quantity) == (usage["prompt_tokens"], 4)
    assert_exact(scene.house, key.row)


@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__)
def test_I2_a_who_leaves_after_the_end_changes_nothing(
    scene: Scene, over_tls: GatewayProcess, key: HeldKey, leave: Leave
) -> None:
    for gateway in (scene.gateway, over_tls):
        with Wire(gateway.connect()) as wire:
            label = send(wire, key, CHAT, Stream(events=99).body(scene.model))
            assert wire.answer().body.endswith(b"data: [DONE]\n\n")
            assert UsageRecord.objects.get(label=label).status == "completed"
            leave(wire.socket)
        with Wire(gateway.connect()) as wire:  # before it has read a byte of what is complete
            label = send(wire, key, CHAT, Stream(events=99).body(scene.model))
            assert record_labelled(label).status == "completed"
            leave(wire.socket) if leave is not say_goodbye else None
    assert_exact(scene.house, key.row)
    assert_pools_are_well(scene.gateway, scene.model, key)


def test_a_request_that_waits_behind_a_stream_on_its_connection_ends_with_it(scene: Scene, key: HeldKey) -> None:
    with Wire(scene.gateway.connect()) as wire:
        label = send(wire, key, CHAT, Stream().body(scene.model))
        see_events(wire.socket, 3)
        queued = [send(wire, key, CHAT, chat_body(scene.model)) for _ in range(3)]
        assert scene.gateway.get("/health/live").status == 200
        left_at = time.time()
        reset(wire.socket)
    assert_charged_as_journalled(scene, label, left_at)
    assert_exact(scene.house, key.row)
    assert not UsageRecord.objects.filter(label__in=queued).exists()


def test_who_leaves_gives_back_its_place_at_once(scene: Scene, key: HeldKey) -> None:
    scene.house.limit(Holder.KEY, key.row.pk, "concurrent", "none", 1)
    with Wire(scene.gateway.connect()) as wire:
        send(wire, key, CHAT, Stream().body(scene.model))
        see_events(wire.socket, 3)
        assert scene.gateway.chat(scene.model, key.text, max_tokens=2).status == 429
        reset(wire.socket)
    assert eventually(lambda: scene.gateway.chat(scene.model, key.text, max_tokens=2).status == 200)
