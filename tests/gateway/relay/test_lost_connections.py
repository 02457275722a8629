"""I2: connections to PostgreSQL that are cut at any moment: nothing is lost, and nothing counts twice."""

import os
import random
import signal
import threading
import time
from pathlib import Path

import psycopg

from billing.models import Hold
from billing.models import Scope as Holder
from tests.gateway.relay.bills import assert_exact, key_with_budget, records_of
from tests.gateway.relay.conftest import Scene
from tests.gateway.simulated_engine.process import eventually
from tests.support.gateway import running_gateway


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


def test_I2_an_admission_that_hung_and_was_asked_for_again_is_not_made_when_it_goes_on(
    scene: Scene, tmp_path: Path, gateway_database_url: str
) -> None:
    """The server's process stands still with the first call in its hands; the second one is admitted and settled."""
    with running_gateway(tmp_path, "call_s=1") as gateway, psycopg.connect(gateway_database_url) as connection:
        key = key_with_budget(scene.house, gateway)
        assert gateway.chat(scene.model, key.text, max_tokens=1).status == 200
        found = connection.execute(
            "select pid from pg_stat_activity where application_name = 'beffroi admit'"
            " order by backend_start desc limit 1"
        ).fetchone()
        assert found is not None
        os.kill(found[0], signal.SIGSTOP)
        try:
            assert gateway.chat(scene.model, key.text, max_tokens=1).status == 200
        finally:
            os.kill(found[0], signal.SIGCONT)
        assert eventually(lambda: not Path(f"/proc/{found[0]}").exists(), 5)
        assert not Hold.objects.filter(key_id=key.row.pk).exists()
        assert len(records_of(key.row)) == 2
        assert_exact(scene.house, key.row)
