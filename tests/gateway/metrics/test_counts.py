"""What a gateway process counts, and how its counts outlive it."""

import asyncio
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from billing.pricing import Amounts, Quantities
from gateway.metrics.from_gateways import gateway_figures
from gateway.relay.admission import Plan
from gateway.relay.count_file import CountFile, read_counts, tell_counts
from gateway.relay.counts import MOST_SERIES, OPERATIONS, OTHERS, Counts, Series, add_up
from gateway.relay.fields import Endpoint
from gateway.relay.ids import new_request_id
from gateway.relay.ledger import Charge, Settlement
from gateway.relay.routing import Replica

FIRST_TOKEN = "gen_ai_server_time_to_first_token_seconds"
DURATION = "gen_ai_server_request_duration_seconds"
TOKENS = "gen_ai_client_token_usage"


def plan(endpoint: Endpoint = Endpoint.CHAT, *, stream: bool = True, model: str = "org/model") -> Plan:
    """As much of a plan as is counted."""
    found: Any = SimpleNamespace(
        model=SimpleNamespace(name=model), inference=SimpleNamespace(endpoint=endpoint, stream=stream)
    )
    return cast(Plan, found)


def settlement(
    status: str = "completed", quantities: Quantities | None = None, ttft_ms: int | None = 120
) -> Settlement:
    """The end of a request that took 1.12 s."""
    quantities = Quantities(100, 28, 10, 1) if quantities is None else quantities
    return Settlement(new_request_id(), status, 200, "stop", "p", "r", "n", "s", ttft_ms, 1120, quantities, Amounts())


def replica(name: str) -> Replica:
    """Of a pool."""
    return Replica(replica_id=1, name=name, url="http://h:1", api_key="", served_name="m", pool="p", node="", site="")


def figure(counts: Counts, name: str, *labels: str) -> Series:
    """The one with these labels."""
    [found] = [one for one in counts.series() if (one.name, one.labels) == (name, labels)]
    return found


def test_a_request_is_counted_by_its_length_its_tokens_and_its_first_token() -> None:
    counts = Counts()
    counts.settled(plan(), settlement())
    call = ("chat", "org/model")
    assert figure(counts, DURATION, *call, "").total == 1120
    assert figure(counts, FIRST_TOKEN, *call).total == 120
    assert figure(counts, "gen_ai_server_time_per_output_token_seconds", *call).total == 100
    assert figure(counts, TOKENS, *call, "input").total == 128
    assert figure(counts, TOKENS, *call, "output").total == 11
    assert figure(counts, "beffroi_gateway_cached_input_tokens_total", *call).total == 28


def test_a_value_on_a_bound_is_within_it() -> None:
    counts = Counts()
    counts.settled(plan(), settlement(quantities=Quantities(1, 0, 4, 0)))
    assert figure(counts, TOKENS, "chat", "org/model", "input").buckets[0] == 1
    assert figure(counts, TOKENS, "chat", "org/model", "output").buckets[1] == 1


def test_what_did_not_end_well_is_counted_under_its_status_and_has_no_first_token() -> None:
    counts = Counts()
    counts.settled(plan(), settlement("engine_died"))
    counts.settled(plan(), settlement("engine_failed", Quantities(), None))
    assert figure(counts, DURATION, "chat", "org/model", "engine_died").total == 1120
    assert sum(figure(counts, FIRST_TOKEN, "chat", "org/model").buckets) == 0
    assert sum(figure(counts, TOKENS, "chat", "org/model", "input").buckets) == 1


def test_a_whole_answer_has_no_first_token_and_an_embedding_no_output() -> None:
    counts = Counts()
    counts.settled(plan(stream=False), settlement())
    counts.settled(plan(Endpoint.EMBEDDINGS, stream=False), settlement(quantities=Quantities(5)))
    assert sum(figure(counts, FIRST_TOKEN, "chat", "org/model").buckets) == 0
    assert sum(figure(counts, TOKENS, "embeddings", "org/model", "output").buckets) == 0


def test_every_route_has_a_name_of_its_own() -> None:
    assert len(set(OPERATIONS.values())) == len(Endpoint)


def test_a_charge_counts_once_however_often_it_is_asked_for() -> None:
    counts = Counts()
    counts.charged([Charge("settled", 70, 2), Charge("exists", 70, 2), Charge("unknown", None, None)])
    assert (counts.charged_nano_eur, counts.uncharged_nano_eur) == (70, 2)


def test_I8_labels_that_come_and_go_are_bounded() -> None:
    counts = Counts()
    for number in range(MOST_SERIES + 50):
        counts.engine_failed(replica(f"r{number}"))
    found = [one for one in counts.series() if one.name == "beffroi_gateway_engine_failures_total"]
    assert len(found) == MOST_SERIES + 1
    assert figure(counts, "beffroi_gateway_engine_failures_total", OTHERS, OTHERS).total == 50


def test_the_counts_of_processes_are_added_up() -> None:
    one, other = Counts(), Counts()
    one.settled(plan(), settlement())
    other.settled(plan(), settlement())
    other.refused("insufficient_quota")
    sums = {(series.name, series.labels): series for series in add_up([*one.series(), *other.series()])}
    assert sums[DURATION, ("chat", "org/model", "")].total == 2240
    assert sum(sums[DURATION, ("chat", "org/model", "")].buckets) == 2
    assert sums["beffroi_gateway_refusals_total", ("insufficient_quota",)].total == 1


def test_buckets_of_another_release_are_not_added_to_ours() -> None:
    [kept] = add_up([Series("a", (), 1, [1, 0]), Series("a", (), 5, [1, 1, 1])])
    assert (kept.total, kept.buckets) == (1, [1, 0])


def total(folder: Path, name: str) -> float:
    """Over all places."""
    return sum(one.total for told in read_counts(folder) for one in told.series() if one.name == name)


def refusals(number: int) -> Counts:
    """Counts of so many."""
    counts = Counts()
    for _ in range(number):
        counts.refused("overloaded")
    return counts


def test_the_sum_does_not_fall_when_a_process_ends_and_its_place_is_taken_again(tmp_path: Path) -> None:
    name = "beffroi_gateway_refusals_total"
    first, second = CountFile(tmp_path), CountFile(tmp_path)
    first.write(first.told({}, [], refusals(3)))
    second.write(second.told({}, [], refusals(5)))
    assert total(tmp_path, name) == 8
    first.close()
    assert total(tmp_path, name) == 8
    for expected in (10, 12):  # a place is taken again and again
        third = CountFile(tmp_path)
        third.write(third.told({}, [], refusals(2)))
        third.close()
        assert total(tmp_path, name) == expected
    assert len(list(tmp_path.glob("*.json"))) == 2
    second.close()


def test_who_waits_is_added_up_of_processes_that_live(tmp_path: Path) -> None:
    first, second = CountFile(tmp_path), CountFile(tmp_path)
    for file, waiting in ((first, 3), (second, 4)):
        file.write(file.told({"a": 1}, [Series("waits", ("model",), waiting)], Counts()))
    assert [one.total for one in gateway_figures(tmp_path) if one.name == "waits"] == [7]
    second.write(second.told({}, [], Counts()))
    assert [one.total for one in gateway_figures(tmp_path) if one.name == "waits"] == [3]
    first.close()
    second.close()


def test_a_file_of_another_form_is_left_out_and_written_anew(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text('{"of": "another release"}')
    assert read_counts(tmp_path) == []
    file = CountFile(tmp_path)
    file.write(file.told({}, [], refusals(1)))
    file.close()
    assert total(tmp_path, "beffroi_gateway_refusals_total") == 1


def test_a_disk_that_takes_nothing_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a file").touch()
    asyncio.run(tell_counts(tmp_path / "a file", Counts(), dict, list))
    assert "nothing is told at /metrics" in caplog.text


def test_what_was_counted_in_the_last_moment_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def tell_for_a_moment() -> None:
        task = asyncio.create_task(tell_counts(tmp_path, refusals(4), dict, list))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with caplog.at_level(logging.WARNING):
        asyncio.run(tell_for_a_moment())
    assert total(tmp_path, "beffroi_gateway_refusals_total") == 4
    assert not caplog.text
