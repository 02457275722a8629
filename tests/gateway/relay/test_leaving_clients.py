"""A client that leaves: its engine is free within a second, and it pays for what was sent (I2 b, h)."""

import socket
import time
from typing import Any

import pytest

from billing.models import Scope as Holder
from tests.gateway.relay.bills import assert_exact, key_with_budget, only_record_of
from tests.gateway.relay.conftest import Scene
from tests.gateway.simulated_engine.process import eventually, read_until

SLOW = {"tokens_per_second": 25, "output_tokens": 200}


def leave_after(scene: Scene, key: str, events: int, **members: Any) -> float:
    """Read so many events of a stream, then reset the connection; the time at which we left."""
    connection = scene.gateway.open_stream(scene.model, key, max_tokens=200, **members)
    read_until(connection, lambda received: received.count(b"data:") >= events)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    return time.time()


@pytest.mark.parametrize("events", [1, 2, 7, 20])
def test_I2_b_a_stream_left_at_token_k_is_charged_to_token_k(scene: Scene, events: int) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    left_at = leave_after(scene, key.text, events, simulate=SLOW)
    record = only_record_of(key.row)
    story = scene.engine.story(str(record.request_id))
    end = next(line for line in story if line["e"] == "end")
    prompt = next(line for line in story if line["e"] == "start")["prompt_tokens"]
    assert (record.status, end["reason"]) == ("client_left", "abort")
    assert end["t"] - left_at < 1
    # The first event brings the role only; the last token may have been under way when the connection was cut.
    assert max(events - 1, end["wire"][0] - 1) <= record.output_quantity <= end["wire"][0]
    assert record.input_quantity in (0, prompt) if events == 1 else record.input_quantity == prompt
    assert_exact(scene.house, key.row)


def test_I2_b_a_stream_of_several_choices_is_charged_for_all_of_them(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    leave_after(scene, key.text, 12, n=3, simulate=SLOW)
    record = only_record_of(key.row)
    end = next(line for line in scene.engine.story(str(record.request_id)) if line["e"] == "end")
    assert len(end["wire"]) == 3
    assert 3 < sum(end["wire"]) - 3 <= record.output_quantity <= sum(end["wire"])
    assert_exact(scene.house, key.row)


def test_I2_b_who_leaves_before_the_first_byte_pays_nothing(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    connection = scene.gateway.open_stream(scene.model, key.text, simulate={"first_token_ms": 5_000})
    assert eventually(lambda: scene.engine.metric("num_requests_running") >= 1)
    connection.close()
    record = only_record_of(key.row)
    assert (record.status, record.http_status, record.cost_nano_eur) == ("client_left", 499, 0)
    assert eventually(lambda: scene.engine.metric("num_requests_running") == 0, 1)
    assert_exact(scene.house, key.row)


def test_I2_a_who_leaves_after_the_last_token_pays_for_all(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    connection = scene.gateway.open_stream(scene.model, key.text, max_tokens=6, stream_options={"include_usage": True})
    read_until(connection, lambda received: b'"finish_reason":"length"' in received)
    connection.close()
    record = only_record_of(key.row)
    assert (record.status, record.output_quantity) in (("completed", 6), ("client_left", 6))
    assert_exact(scene.house, key.row)


def test_I2_h_who_leaves_before_a_whole_answer_pays_nothing_and_frees_the_engine(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    connection = scene.gateway.open_stream(scene.model, key.text, stream=False, max_tokens=200, simulate=SLOW)
    assert eventually(lambda: scene.engine.metric("num_requests_running") >= 1)
    connection.close()
    assert eventually(lambda: scene.engine.metric("num_requests_running") == 0, 1)
    record = only_record_of(key.row)
    assert (record.status, record.http_status, record.cost_nano_eur) == ("client_left_early", 499, 0)
    assert_exact(scene.house, key.row)


def test_who_leaves_gives_back_a_place_at_once(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    scene.house.limit(Holder.KEY, key.row.pk, "concurrent", "none", 1)
    leave_after(scene, key.text, 2, simulate=SLOW)
    assert eventually(lambda: scene.gateway.chat(scene.model, key.text, max_tokens=2).status == 200, 2)
