"""The worker takes what nodes report off their queue, and nothing else that they put there."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from django.db import connection
from kombu.entity import Exchange, Queue

from billing.clock import database_now
from gateway.pools.fleet_tables import Node
from identity.models import JobRun
from tests.gateway.pools.fleet.fake_agent import FakeAgent
from tests.support.ledger import make_model, unique
from tests.support.servers import ROOT


@pytest.fixture
def worker(database: None, valkey: str, tmp_path: Path) -> Iterator[None]:
    """The product's worker, without its clock."""
    options = ["--pool", "threads", "--concurrency", "1", "--without-gossip", "--without-mingle"]
    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, "-m", "celery", "-A", "console", "worker", *options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)
            print((tmp_path / "log").read_text()[-3000:])


@pytest.fixture
def agent(database: None, valkey: str) -> Iterator[FakeAgent]:
    made = FakeAgent.joined(unique("node"), 80_000)
    yield made
    Node.objects.filter(name=made.name).delete()


def send(agent: FakeAgent, task: str, **values: object) -> None:
    """As a node does: with its own user of the broker."""
    app = Celery("node", broker=agent.membership.broker_url, set_as_current=False)
    queue = Queue("beffroi.reports", Exchange(""), routing_key="beffroi.reports", no_declare=True)
    app.send_task(task, kwargs=values, queue=queue, declare=[], retry=False, ignore_result=True)
    app.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_report_is_written_down_and_no_other_task_of_a_node_is_run(worker: None, agent: FakeAgent) -> None:
    began = database_now()
    send(agent, "identity.forget_notices", report="no report")
    send(agent, "pools.forget_probes")
    send(agent, "billing.check_ledger", report=agent.text())
    wait_for(lambda: agent.node.reported_at is not None)
    send(agent, "pools.take_report", report=agent.text())
    wait_for(lambda: agent.node.sequence == 2)
    run_since = JobRun.objects.filter(began_at__gte=began).values_list("name", flat=True)
    assert not {"identity.forget_notices", "pools.forget_probes", "billing.check_ledger"} & set(run_since)


def test_who_waits_for_an_engine_is_heard_of_without_the_clock(worker: None, database: None) -> None:
    began, model = database_now(), make_model()
    told = json.dumps([{"model": model.pk, "waiting": 1, "asked": True}])

    def has_stepped() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("select note_demand_v1(%s, %s::jsonb, true)", [uuid.uuid4(), told])
        return JobRun.objects.filter(name="pools.reconcile_fleet", began_at__gte=began).exists()

    wait_for(has_stepped)
