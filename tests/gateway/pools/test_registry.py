"""The list of engines: what is registered, its secrets, and who hears of it."""

import psycopg
import pytest

from gateway.pools.models import Pool, Replica
from gateway.pools.places import set_requests_at_once
from gateway.pools.registry import (
    engine_address,
    key_of,
    register_pool,
    register_replica,
    remove_replica,
    set_state,
)
from identity.audit import Actor, told
from identity.errors import Invalid
from identity.models import AuditEvent
from tests.support.ledger import make_model, unique
from tests.support.operators import RUNS

OPERATOR = Actor.system("test")


@pytest.fixture
def pool(database: None) -> Pool:
    model = make_model()
    return register_pool(model=model, served_name=model.name, actor=OPERATOR)


@pytest.mark.parametrize(
    ("text", "url", "key"),
    [
        ("http://10.0.0.1:8000", "http://10.0.0.1:8000", ""),
        ("http://engine/v1/", "http://engine", ""),
        ("https://:secret@engine:8443", "https://engine:8443", "secret"),
        ("http://secret@engine:8000", "http://engine:8000", "secret"),
        ("http://[::1]:8000", "http://[::1]:8000", ""),
    ],
)
def test_an_address_may_carry_the_key(text: str, url: str, key: str) -> None:
    assert engine_address(text) == (url, key)


@pytest.mark.parametrize(
    "text", ["engine:8000", "ftp://engine", "http://", "http://engine/api", "http://engine?x", "http://engine:99999"]
)
def test_an_address_that_makes_no_sense_is_refused(pool: Pool, text: str) -> None:
    with pytest.raises(Invalid, match="url"):
        engine_address(text)
    with pytest.raises(Invalid, match="url"):
        register_replica(pool=pool, url=text, actor=OPERATOR)


def test_a_key_is_stored_sealed_and_opens_only_for_its_replica(pool: Pool) -> None:
    one = register_replica(pool=pool, url="http://one:1", api_key="secret", actor=OPERATOR)
    other = register_replica(pool=pool, url="http://other:1", api_key="else", actor=OPERATOR)
    one.refresh_from_db()
    assert one.sealed_api_key is not None
    assert b"secret" not in bytes(one.sealed_api_key)
    assert key_of(one) == "secret"
    other.sealed_api_key = one.sealed_api_key
    with pytest.raises(Exception, match="another context"):
        key_of(other)
    assert "secret" not in str(AuditEvent.objects.get(action="replica.registered", target=str(one.pk)).detail)


def test_registered_again_a_replica_stays_as_it_is(pool: Pool) -> None:
    first = register_replica(pool=pool, url="http://one:1", api_key="secret", actor=OPERATOR)
    set_state(replica=first, state=Replica.State.READY, reason="", actor=OPERATOR)
    again = register_replica(pool=pool, url="http://one:1", api_key="secret", actor=OPERATOR)
    assert (again.pk, again.state) == (first.pk, "ready")
    assert AuditEvent.objects.filter(target_kind__icontains="replica", target=str(first.pk)).count() == 2


def test_with_another_key_it_must_prove_itself_again(pool: Pool) -> None:
    first = register_replica(pool=pool, url="http://one:1", api_key="old", actor=OPERATOR)
    set_state(replica=first, state=Replica.State.READY, reason="", actor=OPERATOR)
    again = register_replica(pool=pool, url="http://one:1", api_key="new", actor=OPERATOR)
    again.refresh_from_db()
    assert (again.pk, again.state, key_of(again)) == (first.pk, "registered", "new")


def test_a_model_served_one_way_has_one_pool(pool: Pool) -> None:
    assert register_pool(model=pool.model, served_name=pool.served_name, actor=OPERATOR) == pool
    assert register_pool(model=pool.model, served_name="another name", actor=OPERATOR) != pool


def test_pools_of_models_with_like_names_have_names_of_their_own(database: None) -> None:
    word = unique("twin")
    names = [
        register_pool(model=make_model(name=name), served_name="x", actor=OPERATOR).name
        for name in (f"org/{word}", f"org:{word}", f"org.{word}")
    ]
    assert names == [f"org-{word}", f"org-{word}-2", f"org-{word}-3"]


def test_only_a_new_state_is_an_event(pool: Pool) -> None:
    replica = register_replica(pool=pool, url="http://one:1", actor=OPERATOR)
    for reason in ("It is asleep.", "It is gone."):
        set_state(replica=replica, state=Replica.State.FAILED, reason=reason, actor=OPERATOR)
    replica.refresh_from_db()
    assert replica.state_reason == "It is gone."
    changes = AuditEvent.objects.filter(action="replica.state_changed", target=str(replica.pk))
    assert [told(change)["reason"] for change in changes] == ["It is asleep."]


def test_gateways_read_replicas_and_hear_what_matters_to_them(pool: Pool, gateway_database_url: str) -> None:
    with psycopg.connect(gateway_database_url, autocommit=True) as gateway:
        gateway.execute("listen beffroi_policy")

        def heard() -> list[str]:
            return [told.payload for told in gateway.notifies(timeout=0.3, stop_after=1)]

        replica = register_replica(pool=pool, url="http://one:1", actor=OPERATOR)
        assert heard() == ["catalog"]
        set_state(replica=replica, state=Replica.State.READY, reason="", actor=OPERATOR)
        assert heard() == ["catalog"]
        set_state(replica=replica, state=Replica.State.READY, reason="It is well.", actor=OPERATOR)
        assert heard() == []
        rows = gateway.execute("select state from pools_replica where id = %s", [replica.pk]).fetchall()
        assert rows == [("ready",)]
        remove_replica(replica=replica, actor=OPERATOR)
        assert heard() == ["catalog"]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            gateway.execute("update pools_replica set state = 'ready'")


def test_a_model_s_next_pool_begins_with_the_bound_of_its_last_one(database: None) -> None:
    model = make_model()
    first = register_pool(model=model, served_name="m", actor=OPERATOR)
    assert first.requests_at_once is None
    set_requests_at_once(first, number=12, by=RUNS)
    assert register_pool(model=model, served_name="m", site="lyon", actor=OPERATOR).requests_at_once == 12
