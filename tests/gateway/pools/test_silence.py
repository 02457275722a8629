"""A dead engine beside living ones: its state stays, and everybody is told that it does not answer."""

from billing.clock import database_now
from gateway.pools.fleet_tables import FleetEvent
from gateway.pools.health import models_health
from gateway.pools.model_state import model_states
from gateway.pools.models import Replica
from gateway.pools.probes import probe_replica
from gateway.pools.registry import register_pool, register_replica, set_state
from gateway.pools.silence import note_answer, note_silence
from gateway.pools.tasks import sample_one
from tests.gateway.pools.conftest import KEY, OPERATOR, AddReplica, StartEngine
from tests.support.ledger import make_model, unique


def fresh(replica: Replica) -> Replica:
    return Replica.objects.select_related("pool__model").get(pk=replica.pk)


def test_a_ready_engine_that_goes_away_is_told_of_until_it_answers_again(
    database: None, start_engine: StartEngine
) -> None:
    model = make_model()
    engine = start_engine({model.name: "chat"})
    pool = register_pool(model=model, served_name=model.name, actor=OPERATOR)
    replica = register_replica(pool=pool, url=engine.url, api_key=KEY, actor=OPERATOR)
    assert probe_replica(replica) is None
    sample_one(replica.pk)
    assert fresh(replica).takes_requests

    engine.process.kill()
    engine.process.wait()
    before = database_now()
    sample_one(replica.pk)
    silent = fresh(replica)
    assert silent.state == Replica.State.READY  # what is wanted of it stays
    assert silent.silent_since is not None
    assert before <= silent.silent_since <= database_now()
    assert not silent.takes_requests
    sample_one(replica.pk)
    assert fresh(replica).silent_since == silent.silent_since
    [state] = model_states([model], now=database_now())
    assert (state.ready, state.replicas) == (0, 1)
    [health] = [one for one in models_health(database_now()) if one.id == model.pk]
    assert (health.ready, health.state) == (0, "away")

    start_engine({model.name: "chat"}, f"--port={engine.port}")
    sample_one(replica.pk)
    assert fresh(replica).takes_requests


def test_an_engine_that_answers_without_counters_is_not_silent(add_replica: AddReplica) -> None:
    replica = add_replica("chat")
    set_state(replica=replica, state=Replica.State.READY, reason="", actor=OPERATOR)
    Replica.objects.filter(pk=replica.pk).update(silent_since=database_now())
    replica.pool.served_name = "another"
    replica.pool.save()
    sample_one(replica.pk)
    assert fresh(replica).silent_since is None


def test_what_is_said_of_the_fleet_s_replicas_is_an_event(database: None) -> None:
    pool = register_pool(model=make_model(), served_name="m", actor=OPERATOR)
    replica = Replica.objects.create(
        pool=pool, name=unique("replica"), url="http://127.0.0.1:9", source="fleet", state="ready"
    )
    sample_one(replica.pk)
    sample_one(replica.pk)
    silent = fresh(replica)
    note_answer(silent)
    note_answer(silent)
    told = FleetEvent.objects.filter(replica=replica.name).order_by("pk").values_list("kind", "began_at")
    assert list(told) == [("silent", None), ("answers", silent.silent_since)]
    replica.delete()


def test_another_state_begins_without_what_was_seen_in_the_one_before(database: None) -> None:
    pool = register_pool(model=make_model(), served_name="m", actor=OPERATOR)
    replica = Replica.objects.create(pool=pool, name=unique("replica"), url="http://127.0.0.1:9", state="ready")
    looked_at, now = fresh(replica), database_now()
    note_silence(looked_at, since=now)
    set_state(replica=fresh(replica), state=Replica.State.READY, reason="other words", actor=OPERATOR)
    assert fresh(replica).silent_since == now
    set_state(replica=fresh(replica), state=Replica.State.REGISTERED, reason="", actor=OPERATOR)
    assert fresh(replica).silent_since is None
    set_state(replica=fresh(replica), state=Replica.State.READY, reason="", actor=OPERATOR)
    note_silence(looked_at, since=now)  # what was looked at in the state before
    assert fresh(replica).takes_requests
    replica.delete()


def test_of_an_engine_that_is_not_ready_the_reason_says_what_is_wrong(database: None) -> None:
    pool = register_pool(model=make_model(), served_name="m", actor=OPERATOR)
    replica = Replica.objects.create(pool=pool, name=unique("replica"), url="http://127.0.0.1:9", state="failed")
    sample_one(replica.pk)
    assert fresh(replica).silent_since is None
    replica.delete()
