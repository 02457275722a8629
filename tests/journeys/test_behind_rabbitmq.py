"""`make up` with a RabbitMQ that it is given: worker, clock and nodes work through it, also after it was away."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from console.supervisor.processes import Command, spawn
from tests.support import rabbitmq
from tests.support.installation import Installation, wait_for
from tests.support.rabbitmq import RabbitMq
from tests.support.servers import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not rabbitmq.is_prepared(), reason=rabbitmq.REASON),
]

PATIENCE_S = 120  # on a busy machine
NODE = "gpu-1"
_BY = "from identity.operators import Operator; by = Operator.system('tests'); "
_NODE = f"from gateway.pools.fleet_tables import Node; node = Node.objects.filter(name={NODE!r}).first(); "
_POOL = "from gateway.pools.models import Pool, Replica; pool = Pool.objects.get(model__name={model!r}); "


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMq]:
    with RabbitMq() as broker:
        yield broker


@pytest.fixture(scope="module")
def given(broker: RabbitMq) -> Iterator[Installation]:
    with Installation(VALKEY_URL=broker.url, RABBITMQ_MANAGEMENT_URL=broker.management_url) as given:
        yield given


def shell(given: Installation, program: str) -> str:
    """What a line of Python prints beside the running installation."""
    return given.manage("shell", "--no-imports", "-c", program).strip()


def scale(given: Installation, wanted: int) -> None:
    """So many replicas of the demo's chat model."""
    program = f"{_BY}{_POOL.format(model=given.demo['models']['chat'])}"
    program += "from gateway.pools.fleet.managed_pools import Count, scale_pool; "
    shell(given, f"{program}scale_pool(pool, Count(0, 9, {wanted}), policy=Pool.Policy.MANUAL, by=by)")


def places(given: Installation) -> list[str]:
    """The nodes on which replicas of the demo's chat model are ready."""
    program = _POOL.format(model=given.demo["models"]["chat"])
    found = "Replica.objects.filter(pool=pool, state='ready').order_by('node').values_list('node', flat=True)"
    return list(json.loads(shell(given, f"import json; {program}print(json.dumps(list({found})))")))


@contextmanager
def agent(given: Installation, token: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A machine that becomes the node of the token, by the command that its page shows."""
    home = given.folder / "node"
    home.mkdir()
    argv = [sys.executable, str(ROOT / "manage.py"), "node", "--simulated", f"--home={home}"]
    argv.append(f"--platform=http://127.0.0.1:{given.port}")
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "BEFFROI_NODE_TOKEN": token}
    process = spawn(Command(argv), environment, home / "log")
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


def test_every_job_of_the_worker_runs(given: Installation) -> None:
    assert given.chat_status() == 200
    ran = "from identity.models import JobRun; from console.celery import scheduled_tasks; "
    run = "JobRun.objects.all().delete(); from console.operator_jobs import run_now; "
    shell(given, f"{ran}{run}[run_now(name) for name in scheduled_tasks()]")
    left = "scheduled_tasks().keys() - {one.name for one in JobRun.objects.all() if one.went_well_at}"
    program = f"{ran}print(sorted({left}))"
    wait_for(lambda: shell(given, program) == "[]", lambda: shell(given, program) + given.said(), PATIENCE_S)


def test_a_task_of_later_waits_for_its_time(given: Installation) -> None:
    name = "identity.forget_notices"
    runs = f"from identity.models import JobRun; runs = JobRun.objects.filter(name={name!r}); "
    send = f"from console.celery import app; app.send_task({name!r}, countdown=5)"
    shell(given, f"{runs}runs.delete(); {send}")
    wait_for(lambda: shell(given, f"{runs}print(runs.count())") == "1", given.said, PATIENCE_S)


def test_a_machine_joins_serves_outlives_the_broker_and_is_removed(given: Installation, broker: RabbitMq) -> None:
    add = f"{_BY}from gateway.pools.fleet.nodes import add_node; "
    token = shell(given, f"{add}print(add_node(name={NODE!r}, labels={{'simulated': 'yes'}}, by=by)[1])")
    with agent(given, token) as process:
        wait_for(lambda: shell(given, f"{_NODE}print(node.reported_at is not None)") == "True", given.said, PATIENCE_S)
        scale(given, 3)
        wait_for(lambda: places(given) == [NODE, "simulated-1", "simulated-2"], given.said, PATIENCE_S)
        broker.kill()
        assert given.chat_status() == 200
        broker.start()
        scale(given, 6)
        wait_for(lambda: places(given).count(NODE) == 2, given.said, PATIENCE_S)
        assert process.poll() is None
        remove = f"{_BY}{_NODE}from gateway.pools.fleet.nodes import remove_node, set_service; "
        shell(given, f"{remove}set_service(node, Node.Service.DRAINING, by=by)")
        scale(given, 2)
        wait_for(lambda: NODE not in places(given), given.said, PATIENCE_S)
        wait_for(lambda: removed(given, remove), given.said, PATIENCE_S)
        wait_for(lambda: broker.manage("GET", f"/api/users/node-{NODE}") == 404, given.said, PATIENCE_S)
    assert broker.manage("GET", f"/api/queues/%2F/beffroi.node.{NODE}") == 404
    assert broker.manage("GET", "/api/users/node-simulated-1") == 200
    assert given.chat_status() == 200


def removed(given: Installation, remove: str) -> bool:
    """Whether the node could be removed: its replicas are gone."""
    there = "Replica.objects.filter(machine=node).exists()"
    program = f"{remove}from gateway.pools.models import Replica; there = {there}; "
    return shell(given, f"{program}there or remove_node(node, by=by); print(there)") == "False"
