"""I2: connections to PostgreSQL that are cut at any moment: nothing is lost, and nothing counts twice."""

import random
import threading
import time

import psycopg

from billing.models import Scope as Holder
from tests.gateway.relay.bills import assert_exact, key_with_budget, records_of
from tests.gateway.relay.conftest import Scene


def test_I2_lost_commit_answers_are_asked_for_again_and_move_nothing_twice(
    scene: Scene, gateway_database_url: str
) -> None:
    keys = [key_with_budget(scene.house, scene.gateway) for _ in range(3)]
    for key in keys:
        scene.house.limit(Holder.KEY, key.row.pk, "concurrent", "none", 5)
    stop = threading.Event()
    seen: dict[str, list[tuple[int, str]]] = {key.text: [] for key in keys}

    def load(text: str) -> None:
        while not stop.is_set():
            answered = scene.gateway.chat(scene.model, text, max_tokens=3, stream=len(seen[text]) % 2 == 0)
            seen[text].append((answered.status, answered.headers["x-request-id"]))

    threads = [threading.Thread(target=load, args=(key.text,)) for key in keys]
    for thread in threads:
        thread.start()
    with psycopg.connect(gateway_database_url, autocommit=True) as gateway:
        cut, deadline = 0, time.monotonic() + 60
        while cut < 40 or sum(len(told) for told in seen.values()) <= 10:
            assert time.monotonic() < deadline
            cut += gateway.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = current_user"
                " and application_name in ('beffroi admit', 'beffroi settle')"
            ).rowcount
            time.sleep(random.uniform(0, 0.2))  # some calls have to come through, on a busy machine too
    stop.set()
    for thread in threads:
        thread.join(20)
    for key in keys:
        told = seen[key.text]
        assert {status for status, _ in told} == {200}
        records = {str(record.request_id): record for record in records_of(key.row)}
        assert set(records) == {request_id for _, request_id in told}
        assert {record.status for record in records.values()} == {"completed"}
        assert_exact(scene.house, key.row)


def test_the_snapshot_survives_its_connections(scene: Scene, gateway_database_url: str) -> None:
    with psycopg.connect(gateway_database_url, autocommit=True) as gateway:
        gateway.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = current_user"
            " and application_name in ('beffroi policy news', 'beffroi snapshot', 'beffroi life', 'beffroi sweeper')"
        )
    key = scene.key()
    assert scene.gateway.chat(scene.model, key.text, max_tokens=1).status == 200
