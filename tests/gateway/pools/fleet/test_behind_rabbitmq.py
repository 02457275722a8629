"""Nodes behind RabbitMQ: a user each, limited to its queue and to adding reports, for as long as the node is there."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from operator import methodcaller
from pathlib import Path
from typing import Any

import amqp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from kombu.connection import Connection
from pytest_django import Settings

from console.celery import app
from console.node_reports import report_in
from console.supervisor.processes import Command, spawn
from gateway.node_agent.broker import application
from gateway.node_agent.joining import Joined, Membership, remember
from gateway.pools.fleet.assignments import send_assignments
from gateway.pools.fleet.broker import REPORTS_QUEUE, queue_of, user_of
from gateway.pools.fleet.broker_users import reconcile_broker_users
from gateway.pools.fleet.nodes import add_node, remove_node, renew_token
from gateway.pools.fleet.rabbitmq_users import RabbitMqUsers
from gateway.pools.fleet.reconciler import reconcile_fleet
from gateway.pools.fleet.reports import NotTaken, take_report
from identity.errors import Conflict
from tests.gateway.pools.fleet.conftest import TestFleet
from tests.gateway.pools.fleet.fake_agent import FakeAgent
from tests.support import rabbitmq
from tests.support.ledger import unique
from tests.support.operators import RUNS
from tests.support.servers import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not rabbitmq.is_prepared(), reason=rabbitmq.REASON)]


@pytest.fixture(scope="module")
def broker() -> Iterator[rabbitmq.RabbitMq]:
    with rabbitmq.RabbitMq() as made:
        yield made


@pytest.fixture(autouse=True)
def behind(broker: rabbitmq.RabbitMq, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process' platform has RabbitMQ as its broker."""
    settings.VALKEY_URL = settings.NODE_BROKER_URL = broker.url
    settings.RABBITMQ_MANAGEMENT_URL = broker.management_url
    monkeypatch.setattr(app.conf, "broker_url", broker.url)


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """With the user of that address, who is told what the broker does not take."""
    with Connection(url, transport_options={"confirm_publish": True}) as connection:
        connection.ensure_connection(max_retries=0)
        yield connection.connection


def refused(url: str, act: Callable[[Any], object]) -> bool:
    """Whether the user may not do that, by the broker's word."""
    with connected(url) as connection:
        try:
            act(connection.channel())
        except amqp.AccessRefused:
            return True
    return False


def may_come_in(url: str) -> bool:
    try:
        with connected(url):
            return True
    except amqp.AccessRefused:
        return False


def is_cut_off(connection: Any) -> bool:
    try:
        connection.drain_events(timeout=30)
    except amqp.ConnectionForced:
        return True
    except TimeoutError:
        pass
    return False


def waiting(broker: rabbitmq.RabbitMq, queue: str) -> int:
    """How many messages; of a queue that is not there, `amqp.NotFound`."""
    with connected(broker.url) as connection:
        return int(connection.channel().queue_declare(queue, passive=True).message_count)


def test_a_stolen_user_reads_its_own_queue_adds_reports_and_can_do_nothing_else(fleet: TestFleet) -> None:
    agent, neighbour = fleet.add_agent(), fleet.add_agent()
    url, own, others = agent.membership.broker_url, queue_of(agent.name), queue_of(neighbour.name)
    with connected(url) as connection:
        channel = connection.channel()
        channel.basic_get(own)
        channel.basic_consume(own)
        channel.basic_publish(amqp.Message("{}"), REPORTS_QUEUE, REPORTS_QUEUE)
    with connected(app.conf.broker_url) as connection:
        connection.channel().queue_declare("celery", durable=True, auto_delete=False)
        assert connection.channel().basic_get(REPORTS_QUEUE, no_ack=True) is not None
    for queue in (others, REPORTS_QUEUE, "celery"):
        assert refused(url, methodcaller("basic_get", queue))
        assert refused(url, methodcaller("basic_consume", queue))
        assert refused(url, methodcaller("queue_purge", queue))
    for queue in (own, others, REPORTS_QUEUE, "celery"):
        assert refused(url, methodcaller("basic_publish", amqp.Message("{}"), "", queue))
        assert refused(url, methodcaller("basic_publish", amqp.Message("{}"), "amq.topic", queue))
        assert refused(url, methodcaller("queue_delete", queue))
        assert refused(url, methodcaller("queue_bind", queue, REPORTS_QUEUE, "x"))
    assert refused(url, methodcaller("queue_declare", "mine"))
    assert refused(url, methodcaller("exchange_declare", "mine", "fanout"))
    assert refused(url, methodcaller("exchange_delete", REPORTS_QUEUE))


def test_an_assignment_waits_once_in_the_nodes_queue_and_nowhere_else(
    fleet: TestFleet, broker: rabbitmq.RabbitMq
) -> None:
    agent = fleet.add_agent(80_000)
    fleet.add_pool(1)
    reconcile_fleet()
    for _ in range(3):
        send_assignments()
        assert waiting(broker, queue_of(agent.name)) == 1
    with connected(agent.membership.broker_url) as connection:
        message = connection.channel().basic_get(queue_of(agent.name), no_ack=True)
    assert message.headers["task"] == "node.assign"
    assert message.headers["expires"]


def test_who_was_removed_is_cut_off_and_leaves_nothing(fleet: TestFleet, broker: rabbitmq.RabbitMq) -> None:
    agent = fleet.add_agent()
    with connected(agent.membership.broker_url) as connection:
        connection.channel().basic_consume(queue_of(agent.name))
        remove_node(agent.node, by=RUNS)
        assert reconcile_broker_users() >= 1
        assert is_cut_off(connection)
    assert not may_come_in(agent.membership.broker_url)
    with pytest.raises(amqp.NotFound):
        waiting(broker, queue_of(agent.name))
    assert agent.name not in RabbitMqUsers().nodes()


def test_another_token_ends_the_old_password_once_it_is_used(fleet: TestFleet) -> None:
    agent = fleet.add_agent()
    before = agent.membership.broker_url
    token = renew_token(agent.node, by=RUNS)
    with connected(before) as connection:
        successor = FakeAgent(agent.name)
        successor.join(token)
        assert is_cut_off(connection)
    assert not may_come_in(before)
    assert may_come_in(successor.membership.broker_url)


def test_users_that_rabbitmq_lost_are_made_again_and_those_of_others_left_alone(
    fleet: TestFleet, broker: rabbitmq.RabbitMq
) -> None:
    agent, stranger = fleet.add_agent(), f"node-{unique('exporter')}"
    assert broker.manage("DELETE", f"/api/users/{user_of(agent.name)}") == 204
    assert broker.manage("PUT", f"/api/users/{stranger}", b'{"password": "x", "tags": ""}') == 201
    rights = b'{"configure": "^$", "write": "^$", "read": ".*"}'
    assert broker.manage("PUT", f"/api/permissions/%2F/{stranger}", rights) == 201
    assert reconcile_broker_users() >= 1
    assert may_come_in(agent.membership.broker_url)
    assert reconcile_broker_users() == 0
    assert broker.manage("GET", f"/api/users/{stranger}") == 200


@contextmanager
def real_agent(folder: Path, agent: FakeAgent) -> Iterator["subprocess.Popen[bytes]"]:
    """The agent's own process, as the node that has joined."""
    remember(folder, Joined(**asdict(agent.membership)))
    (folder / "key").write_bytes(b64encode(agent.key.private_bytes_raw()))
    argv = [sys.executable, str(ROOT / "manage.py"), "node", "--simulated", f"--home={folder}"]
    process = spawn(Command(argv), {"PATH": os.environ["PATH"], "HOME": str(folder)}, folder / "log")
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def hear(broker: rabbitmq.RabbitMq) -> None:
    """Take what nodes report."""
    with connected(broker.url) as connection:
        channel = connection.channel()
        while (message := channel.basic_get(REPORTS_QUEUE, no_ack=True)) is not None:
            if report := report_in(json.loads(message.body)):
                with suppress(NotTaken):
                    take_report(report)


def is_told(broker: rabbitmq.RabbitMq, agent: FakeAgent) -> bool:
    """Whether the agent says that it has its assignment of now, after another try to tell it."""
    reconcile_broker_users()
    reconcile_fleet()
    send_assignments()
    hear(broker)
    node = agent.node
    return node.reported_at is not None and node.acknowledged == node.generation


def wait_for(is_true: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + 120
    while not is_true():
        assert time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
        time.sleep(0.5)


@pytest.mark.parametrize("loses_everything", [False, True])
def test_an_agent_outlives_its_broker(
    fleet: TestFleet, broker: rabbitmq.RabbitMq, tmp_path: Path, *, loses_everything: bool
) -> None:
    node, token = add_node(name=unique("node"), labels={"fleet": fleet.word}, by=RUNS)
    agent = FakeAgent(node.name)
    agent.join(token)
    with real_agent(tmp_path, agent) as process:
        fleet.agents.append(agent)
        wait_for(lambda: is_told(broker, agent), tmp_path)
        before = agent.node.generation
        broker.kill()
        if loses_everything:
            broker.forget()
        broker.start()
        pool = fleet.add_pool(1, engine="simulated")
        wait_for(lambda: is_told(broker, agent) and agent.node.generation > before, tmp_path)
        assert [replica.machine for replica in fleet.replicas(pool)] == [agent.node]
        assert process.poll() is None


def test_over_tls_an_agent_looks_at_the_name_in_the_certificate(
    fleet: TestFleet, broker: rabbitmq.RabbitMq, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(broker.certificate))
    told, own = fleet.add_agent().membership, Ed25519PrivateKey.generate()

    def connect(host: str) -> bool:
        url = told.broker_url.replace(f"127.0.0.1:{broker.port}", f"{host}:{broker.tls_port}")
        url = url.replace("amqp:", "amqps:")
        member = Membership(told.name, url, told.queue, told.reports_queue, own.public_key(), own)
        with application(member, print).connection_for_write() as connection:
            return bool(connection.connect().connected)

    assert connect("127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        connect("127.0.0.2")


def test_a_wrong_password_of_the_management_is_told(fleet: TestFleet, settings: Settings) -> None:
    settings.RABBITMQ_MANAGEMENT_URL = settings.RABBITMQ_MANAGEMENT_URL.replace("beffroi:", "nobody:")
    node, token = add_node(name=unique("node"), labels={}, by=RUNS)
    agent = FakeAgent(node.name)
    fleet.agents.append(agent)
    with pytest.raises(Conflict, match="wants an administrator"):
        agent.join(token)
    assert reconcile_broker_users() == 0
