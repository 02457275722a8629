"""Fail-over and restore, done for real: nothing that was told to a client is lost, and nothing counts twice.

A primary with a synchronous standby is killed under load and the standby promoted; then a database is restored to a
moment before gateways began that still run.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pytest_django import DjangoDbBlocker

from billing.models import Hold, UsageRecord
from billing.models import Scope as Holder
from tests.gateway.relay.bills import assert_exact
from tests.gateway.simulated_engine.process import Answered, EngineProcess, eventually
from tests.support.gateway import GatewayProcess, serve
from tests.support.ledger import HeldKey, House, make_house
from tests.support.replication import ArchivedPostgres, Copy
from tests.support.servers import ROOT

LIMITS = "heartbeat_s=0.5,checkpoint_s=0.5,silent_s=4,grace_s=0.1,admit_wait_s=50"
PATIENCE_S = 60
CLIENTS = 4


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    journal = tmp_path_factory.mktemp("engine") / "journal.jsonl"
    flags = ("--tokens-per-second=200", "--first-token-ms=0", "--max-model-len=8192")
    with EngineProcess({"demo/chat": "chat"}, journal, "engine-key", *flags) as engine:
        yield engine


@pytest.fixture(scope="module")
def archived(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[ArchivedPostgres]:
    with django_db_blocker.unblock(), ArchivedPostgres() as primary:
        yield primary


@pytest.fixture
def primary(archived: ArchivedPostgres, django_db_blocker: DjangoDbBlocker) -> Iterator[ArchivedPostgres]:
    """A primary that runs, without a standby: a test may have killed it."""
    archived.configure(synchronous_standby_names="")
    if archived.is_running:
        archived.reload()
    else:
        archived.start()
    with django_db_blocker.unblock(), archived.used_by_django():
        yield archived


@pytest.fixture
def house(primary: ArchivedPostgres, engine: EngineProcess) -> House:
    house = make_house()
    serve(house.model, engine)
    return house


@pytest.fixture
def key(house: House) -> HeldKey:
    key = house.key()
    house.budget(Holder.KEY, key.row.pk, 10**12)
    return key


@dataclass
class Clients:
    """Clients that ask one thing after the other, streamed and not."""

    gateways: list[GatewayProcess]
    model: str
    key: str
    answers: list[Answered] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int) -> None:
        gateway = self.gateways[number % len(self.gateways)]
        while not self._stop.is_set():
            is_stream = bool(number % 4 // 2)
            asked: dict[str, Any] = {"max_tokens": 20}
            if is_stream:
                asked |= {"stream": True, "stream_options": {"include_usage": True}}
            self.answers.append(gateway.chat(self.model, self.key, **asked))

    def end(self) -> list[Answered]:
        """Everything that they were told."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        return self.answers


def completion_tokens(answered: Answered) -> int:
    """What the answer itself says that it has."""
    if answered.headers["content-type"].startswith("text/event-stream"):
        assert answered.body.rstrip().endswith(b"data: [DONE]")
        return int(answered.events[-1]["usage"]["completion_tokens"])
    return int(answered.json["usage"]["completion_tokens"])


def assert_told_is_booked(answers: list[Answered], house: House, key: HeldKey) -> None:
    """Each answer has its record with the same tokens, no record is one too many, and the budget is their sum."""
    assert {answered.status for answered in answers} == {200}, {answered.body for answered in answers}
    told = {UUID(answered.headers["x-request-id"]): completion_tokens(answered) for answered in answers}
    assert len(told) == len(answers)
    assert eventually(lambda: not Hold.objects.filter(key_id=key.row.pk).exists(), PATIENCE_S)
    records = UsageRecord.objects.filter(key_id=key.row.pk)
    assert {record.request_id: record.output_quantity for record in records} == told
    assert_exact(house, key.row)


def assert_ledger_adds_up(copy: Copy) -> None:
    """What docs/scale.md tells an operator to run."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "verify_ledger"],
        env=os.environ | {"DATABASE_URL": copy.app_url, "DATABASE_OWNER_URL": copy.owner_url},
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_promoted_standby_has_everything_that_clients_were_told(
    primary: ArchivedPostgres, house: House, key: HeldKey, tmp_path: Path
) -> None:
    standby = primary.copy("standby", "-R", "-C", "-S", "standby")
    standby.start()
    primary.configure(synchronous_standby_names="standby")
    primary.reload()
    assert eventually(
        lambda: primary.as_superuser("select sync_state from pg_stat_replication") == [("sync",)], PATIENCE_S
    )
    environment = primary.environment_with(standby)
    try:
        with (
            GatewayProcess(tmp_path, LIMITS, **environment) as one,
            GatewayProcess(tmp_path, LIMITS, **environment) as two,
        ):
            for gateway in (one, two):
                gateway.await_key(key.text)
            clients = Clients([one, two], house.model.name, key.text)
            assert eventually(lambda: len(clients.answers) > 20, PATIENCE_S)
            primary.kill()
            killed_at, told_before = time.monotonic(), len(clients.answers)
            standby.as_superuser("select pg_promote()")
            assert eventually(lambda: len(clients.answers) > told_before + 20, PATIENCE_S)
            away_s = time.monotonic() - killed_at
            answers = clients.end()
            with standby.used_by_django():
                assert_told_is_booked(answers, house, key)
                assert_ledger_adds_up(standby)
                fresh = house.key()
                for gateway in (one, two):  # news are heard from the new primary
                    gateway.await_key(fresh.text)
                    assert gateway.process.poll() is None
            print(f"{len(answers)} answers, {away_s:.1f} s from the loss of the primary to 20 answers more")
    finally:
        standby.close()


@pytest.mark.slow
def test_after_a_restore_to_a_point_in_time_gateways_from_its_future_end_and_the_budget_is_its_rows(
    primary: ArchivedPostgres, house: House, key: HeldKey, tmp_path: Path
) -> None:
    restored = primary.copy("restored")
    environment = primary.environment_with(restored)
    try:
        with GatewayProcess(tmp_path, LIMITS, **environment) as known:
            known.await_key(key.text)
            kept = [known.chat(house.model.name, key.text, max_tokens=5) for _ in range(3)]
            [[segment]] = primary.as_superuser("select pg_walfile_name(pg_create_restore_point('here'))")
            with GatewayProcess(tmp_path, LIMITS, **environment) as ahead:
                ahead.await_key(key.text)
                lost = [ahead.chat(house.model.name, key.text, max_tokens=5) for _ in range(3)]
                primary.as_superuser("select pg_switch_wal()")
                assert eventually((primary.archive / str(segment)).exists, PATIENCE_S)
                primary.kill()
                restored.recover_until("here", primary.archive)
                restored.start()
                # Its incarnation is not in this database: nothing that it does may count.
                assert ahead.process.wait(PATIENCE_S) is not None
            with restored.used_by_django():
                assert eventually(lambda: known.get("/health/ready").status == 200, PATIENCE_S)
                kept.append(known.chat(house.model.name, key.text, max_tokens=5))
                assert {answered.status for answered in kept + lost} == {200}
                assert_told_is_booked(kept, house, key)
            assert_ledger_adds_up(restored)
    finally:
        restored.close()
