"""A replica is ready only after it showed that it can be billed."""

import time
from contextlib import ExitStack

import pytest
from celery.contrib.testing.worker import start_worker
from django.conf import settings
from django.utils import translation

from console.celery import app
from gateway.pools import schedule
from gateway.pools.models import Replica
from gateway.pools.probes import Engine, NotReady, kind_of, probe_replica, served_models, take_out_the_gone
from gateway.pools.reasons import in_readers_language
from gateway.pools.registry import register_pool, register_replica, set_state
from gateway.pools.tasks import probe_one, probe_replicas
from identity import egress
from identity.models import AuditEvent
from tests.gateway.pools.conftest import KEY, OPERATOR, AddReplica, StartEngine
from tests.support.ledger import make_model, unique
from tests.support.silent_machine import silent_machine


@pytest.mark.parametrize("kind", ["chat", "embedding", "rerank"])
def test_an_engine_that_reports_what_it_used_is_ready(add_replica: AddReplica, kind: str) -> None:
    replica = add_replica(kind)
    assert replica.state == "registered"
    assert probe_replica(replica) is None
    replica.refresh_from_db()
    assert (replica.state, replica.state_reason, replica.context_window) == ("ready", "", 32_768)
    assert replica.probed_at is not None
    assert AuditEvent.objects.filter(action="replica.state_changed", target=str(replica.pk)).count() == 1


@pytest.mark.parametrize(
    ("kind", "fault", "said"),
    [
        ("chat", "no_usage", "no usage in a whole answer"),
        ("chat", "zero_usage", "no usage in a whole answer"),
        ("chat", "nonsense_usage=strings", "no usage in a whole answer"),
        ("chat", "no_usage=continuous", "no usage during a stream"),
        ("chat", "no_done", r"does not end with \[DONE\]"),
        ("chat", "garbage=json", "no JSON object"),
        ("chat", "status=404", "with status 404"),
        ("embedding", "no_usage", "no usage with an embedding"),
        ("chat", "close_before", "does not answer"),
    ],
)
def test_one_that_does_not_is_not_and_says_what_is_missing(
    add_replica: AddReplica, kind: str, fault: str, said: str
) -> None:
    replica = add_replica(kind, f"--fault={fault}")
    missing = probe_replica(replica)
    assert missing is not None
    replica.refresh_from_db()
    assert replica.state == "failed"
    assert replica.state_reason == missing.reason
    with pytest.raises(NotReady, match=said):
        raise missing


def test_a_wrong_key_is_told_apart_from_a_silent_engine(add_replica: AddReplica) -> None:
    missing = probe_replica(add_replica("chat", api_key="wrong"))
    assert missing is not None
    assert "refuses the key" in missing.reason
    assert not missing.may_pass


def test_an_engine_that_is_just_starting_may_yet_come(database: None) -> None:
    model = make_model()
    pool = register_pool(model=model, served_name=model.name, actor=OPERATOR)
    missing = probe_replica(register_replica(pool=pool, url="http://127.0.0.1:9", actor=OPERATOR))
    assert missing is not None
    assert missing.may_pass


def test_an_engine_that_serves_another_model_is_not_taken(add_replica: AddReplica) -> None:
    replica = add_replica("chat")
    replica.pool.served_name = "something-else"
    missing = probe_replica(replica)
    assert missing is not None
    assert missing.reason == f"It does not serve something-else, but {replica.pool.model.name}."


def test_a_window_smaller_than_the_catalogs_is_remarked(add_replica: AddReplica) -> None:
    replica = add_replica("chat", "--max-model-len=1000")
    assert probe_replica(replica) is None
    replica.refresh_from_db()
    assert replica.context_window == 1000
    assert replica.state_reason == "Its context window is 1000 tokens, less than the catalog's 8192."


def test_kinds_that_are_not_passed_on_are_not_ready(add_replica: AddReplica) -> None:
    missing = probe_replica(add_replica("transcription"))
    assert missing is not None
    assert "transcription models are not passed on yet" in missing.reason


def test_a_replica_that_drains_is_left_alone(add_replica: AddReplica) -> None:
    replica = add_replica("chat")
    set_state(replica=replica, state=Replica.State.DRAINING, reason="Maintenance.", actor=OPERATOR)
    probe_replica(replica)
    replica.refresh_from_db()
    assert (replica.state, replica.state_reason) == ("draining", "Maintenance.")


def test_a_replica_that_recovers_is_ready_again(add_replica: AddReplica) -> None:
    replica = add_replica("chat")
    set_state(replica=replica, state=Replica.State.FAILED, reason="It was gone.", actor=OPERATOR)
    probe_one(replica.pk)
    replica.refresh_from_db()
    assert replica.state == "ready"
    probe_one(-1)  # removed before its turn came: nothing to do


@pytest.mark.parametrize("kind", ["chat", "embedding", "rerank"])
def test_the_kind_of_an_unknown_model_is_found_by_trying(start_engine: StartEngine, kind: str) -> None:
    engine = start_engine({"who/knows": kind})
    assert kind_of(Engine(engine.url, KEY), "who/knows") == kind


def test_an_engines_key_is_in_no_representation(start_engine: StartEngine) -> None:
    engine = start_engine({"a": "chat", "b": "embedding"}, "--max-model-len=99")
    reached = Engine(engine.url, KEY)
    assert KEY not in repr(reached)
    assert served_models(reached) == {"a": 99, "b": 99}


def test_engines_on_machines_that_are_switched_off_are_taken_out_and_found_together(
    database: None, start_engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "CONNECT_SECONDS", 1.0)
    model = make_model()
    pool = register_pool(model=model, served_name=model.name, actor=OPERATOR)
    with ExitStack() as machines:
        urls = [f"http://127.0.0.1:{machines.enter_context(silent_machine())}" for _ in range(6)]
        slow = start_engine({model.name: "chat"}, "--fault=hang_before")
        replicas = [register_replica(pool=pool, url=url, api_key=KEY, actor=OPERATOR) for url in (*urls, slow.url)]
        Replica.objects.filter(pool=pool).update(state=Replica.State.READY)
        began = time.monotonic()
        take_out_the_gone([model])
        assert time.monotonic() - began < 4  # one after the other they would take six seconds
    states = [Replica.objects.get(pk=replica.pk) for replica in replicas]
    assert [one.state for one in states] == ["failed"] * 6 + ["ready"]
    assert states[0].state_reason == "It does not answer: no machine answers at this address."
    with translation.override("fr"):
        assert in_readers_language(states[0].state_reason) != states[0].state_reason


def test_the_worker_probes_what_waits(add_replica: AddReplica, valkey: str) -> None:
    assert app.conf.broker_url == valkey == settings.VALKEY_URL
    replica = add_replica("chat")
    queue = unique("queue")
    app.conf.task_default_queue = queue
    with start_worker(app, queues=[queue], pool="solo", perform_ping_check=False):
        probe_replicas.delay()
        wait_for_state(replica, "ready")


def wait_for_state(replica: Replica, state: str) -> None:
    deadline = time.monotonic() + 20
    while replica.state != state:
        assert time.monotonic() < deadline, replica.state_reason
        time.sleep(0.05)
        replica.refresh_from_db()


def test_the_clock_starts_tasks_that_exist() -> None:
    assert {entry["task"] for entry in schedule.BEAT_SCHEDULE.values()} <= app.tasks.keys()
