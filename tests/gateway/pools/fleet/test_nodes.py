"""Nodes: how a machine becomes one, what it may do at the broker, and what of its reports counts."""

import json
from base64 import b64encode
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import redis

from billing.clock import database_now
from console.node_reports import report_in
from gateway.pools.fleet.assignments import send_assignments
from gateway.pools.fleet.broker import queue_of, user_of
from gateway.pools.fleet.broker_users import reconcile_broker_users
from gateway.pools.fleet.joining import join
from gateway.pools.fleet.nodes import TOKEN_LIFE, add_node, label_node, remove_node, renew_token, set_service
from gateway.pools.fleet.reconciler import reconcile_fleet
from gateway.pools.fleet.reports import NotTaken, take_report
from gateway.pools.fleet.start_logs import KEPT, LENGTH_MAX, forget_logs, last_logs, log_or_404
from gateway.pools.fleet_tables import EngineLog, FleetEvent, Node
from gateway.pools.models import Replica
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.models import AuditEvent
from identity.operators import operator_for_person
from models_catalog.models import LanguageModel
from tests.gateway.pools.fleet.conftest import TestFleet
from tests.gateway.pools.fleet.fake_agent import FakeAgent
from tests.support.ledger import unique
from tests.support.operators import RUNS
from tests.support.people import make_person


def broker_of(url: str) -> "redis.Redis":
    """A client with the user of that address."""
    parts = urlsplit(url)
    return redis.Redis(unix_socket_path=parts.path, username=parts.username, password=parts.password)


def test_a_token_makes_one_machine_a_node_for_a_day(fleet: TestFleet) -> None:
    node, token = add_node(name=unique("node"), labels={"site": "paris"}, by=RUNS)
    agent, other = FakeAgent(node.name), FakeAgent(node.name)
    fleet.agents.append(agent)
    agent.join(token)
    first = agent.membership
    agent.join(token)
    assert agent.membership == first
    for wrong in ((token, other), (token + "x", agent), ("", agent)):
        with pytest.raises(NotFound):
            wrong[1].join(wrong[0])
    Node.objects.filter(pk=node.pk).update(token_expires_at=database_now() - TOKEN_LIFE)
    with pytest.raises(NotFound):
        agent.join(token)
    assert token not in str(list(AuditEvent.objects.filter(target=str(node.pk)).values()))


def test_another_token_lets_another_machine_take_the_nodes_place(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000)
    token = renew_token(agent.node, by=RUNS)
    agent.report()
    successor = FakeAgent(agent.name, started_at=1.0)
    successor.join(token)
    successor.report()
    with pytest.raises(NotTaken):
        agent.report()


def test_only_who_may_change_capacity_adds_nodes_and_only_by_sound_names(database: None) -> None:
    with pytest.raises(Forbidden):
        add_node(name="gpu-1", labels={}, by=operator_for_person(make_person("charlie")))
    for name in ("", "GPU", "a_b", "-a", "a" * 64, "a.b"):
        with pytest.raises(Invalid, match="name"):
            add_node(name=name, labels={}, by=RUNS)
    with pytest.raises(Invalid, match="labels"):
        add_node(name="gpu-1", labels={"a b": "c"}, by=RUNS)


def test_a_name_is_given_once(fleet: TestFleet) -> None:
    agent = fleet.add_agent()
    with pytest.raises(Conflict):
        add_node(name=agent.name, labels={}, by=RUNS)
    assert label_node(agent.node, labels={"a": "b"}, by=RUNS)
    assert not label_node(agent.node, labels={"a": "b"}, by=RUNS)


@pytest.mark.parametrize("key", ["", "AAAA", "not base64!", b64encode(b"x" * 33).decode()])
def test_a_key_that_is_none_is_refused(database: None, key: str) -> None:
    with pytest.raises(Invalid, match="public_key"):
        join(token="bfn_x", public_key=key, version="1")


def test_a_nodes_broker_user_reaches_its_own_queue_and_no_other(fleet: TestFleet) -> None:
    agent, neighbour = fleet.add_agent(), fleet.add_agent()
    own, reports = queue_of(agent.name), "beffroi.reports"
    with broker_of(agent.membership.broker_url) as client:
        client.lpush(own, "x")
        client.hset(f"{own}.unacked", "a", "b")
        client.zadd(f"{own}.unacked_index", {"a": 1})
        assert client.brpop([own], timeout=1)
        client.set(f"{own}.unacked_mutex", "1", nx=True, ex=5)
        assert client.llen(reports) >= 0
        for forbidden in (
            ("LPUSH", "celery", "x"),
            ("LPUSH", queue_of(neighbour.name), "x"),
            ("RPOP", reports),
            ("DEL", reports),
            ("GET", "celery"),
            ("KEYS", "*"),
            ("FLUSHALL",),
            ("CONFIG", "GET", "*"),
            ("ACL", "LIST"),
            ("PUBLISH", "x", "y"),
            ("SADD", f"_kombu.binding.{reports}", "x"),
        ):
            with pytest.raises(redis.exceptions.ResponseError, match="(?i)permission|NOPERM"):
                client.execute_command(*forbidden)


def test_users_that_the_broker_lost_are_made_again(fleet: TestFleet, valkey: str) -> None:
    agent = fleet.add_agent()
    with broker_of(valkey) as client:
        client.execute_command("ACL", "DELUSER", user_of(agent.name))
    assert reconcile_broker_users() >= 1
    with broker_of(agent.membership.broker_url) as client:
        assert client.ping()
    assert reconcile_broker_users() == 0


def test_who_was_removed_is_cut_off_at_the_broker_and_others_are_left_alone(fleet: TestFleet, valkey: str) -> None:
    agent, stranger = fleet.add_agent(), f"node-{unique('exporter')}"
    with broker_of(valkey) as owner, broker_of(agent.membership.broker_url) as client:
        owner.execute_command("ACL", "SETUSER", stranger, "on", ">word", "~other")
        client.lpush(queue_of(agent.name), "x")
        remove_node(agent.node, by=RUNS)
        assert reconcile_broker_users() >= 1
        users = owner.execute_command("ACL", "USERS")
        assert (user_of(agent.name).encode() in users, stranger.encode() in users) == (False, True)
        assert not owner.exists(queue_of(agent.name))
        with pytest.raises(redis.exceptions.RedisError):
            client.ping()
        owner.execute_command("ACL", "DELUSER", stranger)


def test_another_token_ends_the_old_password_once_it_is_used(fleet: TestFleet) -> None:
    agent = fleet.add_agent()
    before = agent.membership.broker_url
    with broker_of(before) as client:
        assert client.ping()
        token = renew_token(agent.node, by=RUNS)
        assert client.ping()
        FakeAgent(agent.name).join(token)
        with pytest.raises(redis.exceptions.RedisError):
            client.ping()


def test_an_assignment_waits_once_in_the_nodes_queue_until_it_is_acknowledged(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000)
    fleet.add_pool(1)
    reconcile_fleet()
    with broker_of(agent.membership.broker_url) as client:
        for _ in range(3):
            send_assignments()
            assert client.llen(queue_of(agent.name)) == 1
        message = json.loads(client.lpop(queue_of(agent.name)))
        agent.hear()
        agent.report()
        send_assignments()
        assert client.llen(queue_of(agent.name)) == 0
    assert (message["headers"]["task"], message["headers"]["expires"] is not None) == ("node.assign", True)


def test_nothing_is_sent_to_a_node_that_is_silent(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000)
    fleet.add_pool(1)
    reconcile_fleet()
    Node.objects.filter(name=agent.name).update(reported_at=database_now() - timedelta(seconds=70))
    send_assignments()
    with broker_of(agent.membership.broker_url) as client:
        assert client.llen(queue_of(agent.name)) == 0


def test_a_report_counts_only_once_in_order_and_signed_by_the_node_that_it_names(fleet: TestFleet) -> None:
    agent, neighbour = fleet.add_agent(80_000), fleet.add_agent(80_000)
    first, second = agent.text(), agent.text()
    take_report(second)
    old = database_now() - timedelta(minutes=5)
    forged = FakeAgent(agent.name, sequence=10**6)
    for text in (
        first,
        second,
        agent.text(at=old),
        agent.text(aud="node:x"),
        agent.text(iss=f"node:{neighbour.name}"),
        agent.text(iss="node:nobody"),
        agent.text(gpus=[{"index": -1, "memory_mb": 1}]),
        agent.text(address="x" * 400),
        forged.text(),
        "no JWS",
        "x" * 300_000,
    ):
        with pytest.raises(NotTaken):
            take_report(text)


def test_the_log_of_a_start_is_kept_beyond_its_replica_for_a_week(fleet: TestFleet) -> None:
    agent, pool = fleet.add_agent(80_000), fleet.add_pool(1)
    fleet.step()
    [replica] = fleet.replicas(pool)
    agent.engines[replica.pk]["log"] = "Loading\nValueError: no such layer"
    agent.report()
    agent.crash(replica.pk)
    agent.report()
    [log] = last_logs(pool)
    assert (log.replica, log.node, log.text) == (replica.name, agent.name, "Loading\nValueError: no such layer")
    agent.engines[replica.pk]["log"] = ""  # nothing more is told of it
    agent.report()
    assert last_logs(pool)[0].text.startswith("Loading")
    replica.refresh_from_db()
    assert "Loading" not in str(replica.observed)
    assert log_or_404(pool, log.pk) == log
    with pytest.raises(NotFound):
        log_or_404(fleet.add_pool(0), log.pk)
    EngineLog.objects.filter(pk=log.pk).update(at=log.at - KEPT)
    assert forget_logs() >= 1
    assert not last_logs(pool)


def test_a_log_that_is_too_long_makes_its_report_count_for_nothing(fleet: TestFleet) -> None:
    agent, pool = fleet.add_agent(80_000), fleet.add_pool(1)
    fleet.step()
    agent.engines[fleet.replicas(pool)[0].pk]["log"] = "x" * (LENGTH_MAX + 1)
    with pytest.raises(NotTaken):
        agent.report()


def test_what_happened_to_a_node_tells_since_when_and_which_models_it_touched(fleet: TestFleet) -> None:
    agent, pools = fleet.add_agent(80_000), [fleet.add_pool(1), fleet.add_pool(1)]
    fleet.settle(pools[0], 1)
    fleet.settle(pools[1], 1)
    fleet.let_pass(120)
    heard_at = agent.node.reported_at
    agent.report()
    event = FleetEvent.objects.filter(node=agent.name, kind="reports").latest("pk")
    assert event.began_at == heard_at
    assert event.model == ", ".join(sorted(pool.model.name for pool in pools))
    LanguageModel.objects.filter(pk=pools[0].model.pk).update(name="a" * 190)
    LanguageModel.objects.filter(pk=pools[1].model.pk).update(name="b" * 190)
    set_service(agent.node, Node.Service.CORDONED, by=RUNS)
    assert FleetEvent.objects.filter(node=agent.name).latest("pk").model == "a" * 190 + ", +1"


def test_an_agent_that_was_restarted_is_heard_again(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000)
    agent.sequence = 500
    agent.report()
    agent.restart(forgets=True)
    agent.report()
    assert agent.node.sequence == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254:80",
        "https://127.0.0.1:21000",
        "http://127.0.0.1:21000/path",
        "http://u:p@127.0.0.1:21000",
        "http://127.0.0.1",
        "http://127.0.0.1:99999",
        "file:///etc/passwd",
    ],
)
def test_an_engine_is_believed_to_be_only_on_its_node(fleet: TestFleet, url: str) -> None:
    agent = fleet.add_agent(80_000)
    pool = fleet.add_pool(1)
    reconcile_fleet()
    agent.hear()
    [replica] = fleet.replicas(pool)
    agent.engines[replica.pk] = {"id": replica.pk, "state": "running", "url": url}
    agent.report()
    replica.refresh_from_db()
    assert (replica.state, replica.url[:7]) == (Replica.State.REQUESTED, "node://")


def test_a_node_says_nothing_of_replicas_of_others(fleet: TestFleet) -> None:
    one, other = fleet.add_agent(80_000), fleet.add_agent(10)
    pool = fleet.add_pool(1)
    fleet.settle(pool, 1)
    [replica] = fleet.replicas(pool)
    other.engines[replica.pk] = {"id": replica.pk, "state": "exited", "words": "ha"}
    other.report()
    replica.refresh_from_db()
    assert (replica.node, replica.observed["state"], replica.state) == (one.name, "running", "ready")
    assert other.node.observed["strangers"] == 0


@pytest.mark.parametrize(
    ("body", "report"),
    [
        ([[], {"report": "x"}, {}], "x"),
        ([["a", "b"], {"report": "x"}, None], "x"),
        ([[], {"report": 1}, {}], None),
        ([[], {"report": "x" * 300_000}, {}], None),
        ([[], {}, {}], None),
        ({"report": "x"}, None),
        ("x", None),
        (None, None),
    ],
)
def test_of_a_nodes_message_the_report_alone_is_taken(body: object, report: str | None) -> None:
    assert report_in(body) == report
