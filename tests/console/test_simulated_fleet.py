"""The simulated nodes of `make up`: made once, kept as operators change them, taken away for real engines."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from console.simulated_fleet import prepare, retire, wait_until_ready
from console.supervisor.plan import SIMULATED_NODES
from gateway.node_agent.joining import Membership, membership
from gateway.pools.fleet.broker import BrokerUnfit
from gateway.pools.fleet.managed_pools import Count, Wish, configure_pool, scale_pool
from gateway.pools.fleet_tables import Node
from gateway.pools.models import Pool, Replica
from gateway.pools.registry import register_pool, register_replica
from models_catalog.models import LanguageModel
from tests.support.ledger import make_model
from tests.support.operators import RUNS
from tests.support.people import TESTS

pytestmark = pytest.mark.usefixtures("database", "valkey")


@pytest.fixture
def model() -> Iterator[LanguageModel]:
    yield make_model()
    retire()


def members(folder: Path) -> list[Membership]:
    """What the agents know when they start."""
    return [membership(folder / name, "", "", "1") for name in SIMULATED_NODES]


def test_they_join_once_and_what_was_changed_since_stays(model: LanguageModel, tmp_path: Path) -> None:
    prepare([model.name], tmp_path)
    before = members(tmp_path)
    assert [one.name for one in before] == list(SIMULATED_NODES)
    pool = Pool.objects.get(model=model)
    assert (pool.policy, pool.wanted) == ("manual", 2)
    scale_pool(pool, Count(0, 9, 3), policy=Pool.Policy.MANUAL, by=RUNS)
    joined = list(Node.objects.filter(name__in=SIMULATED_NODES).values_list("joined_at", flat=True))
    prepare([model.name], tmp_path)
    pool.refresh_from_db()
    assert (pool.wanted, Pool.objects.filter(model=model).count()) == (3, 1)
    assert list(Node.objects.filter(name__in=SIMULATED_NODES).values_list("joined_at", flat=True)) == joined
    assert [one.broker_url for one in members(tmp_path)] == [one.broker_url for one in before]


def test_a_folder_that_was_lost_joins_anew(model: LanguageModel, tmp_path: Path) -> None:
    prepare([model.name], tmp_path / "first")
    prepare([model.name], tmp_path / "second")
    keys = [one.own.public_key().public_bytes_raw() for one in members(tmp_path / "second")]
    assert [bytes(Node.objects.get(name=name).public_key or b"") for name in SIMULATED_NODES] == keys


def test_an_installation_that_moved_tells_its_nodes_where_the_broker_is_now(
    model: LanguageModel, tmp_path: Path, settings: Settings
) -> None:
    prepare([model.name], tmp_path)
    settings.NODE_BROKER_URL = "redis+socket:///elsewhere/valkey.sock"
    prepare([model.name], tmp_path)
    assert all("/elsewhere/valkey.sock" in one.broker_url for one in members(tmp_path))


def test_a_broker_that_takes_no_users_is_told_in_words(
    model: LanguageModel, tmp_path: Path, settings: Settings
) -> None:
    settings.HOME, settings.NODE_BROKER_URL = tmp_path, "amqp://rabbit.example.org"
    with pytest.raises(CommandError, match="amqp has no users of ours"):
        call_command("simulated_fleet", "prepare", model.name)
    assert not Pool.objects.filter(model=model).exists()


def test_a_broker_that_is_away_keeps_nothing_from_being_prepared(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise BrokerUnfit("OperationalError.")

    monkeypatch.setattr("gateway.pools.fleet.joining.make_user", fail)
    prepare([model.name], tmp_path)
    assert [one.name for one in members(tmp_path)] == list(SIMULATED_NODES)
    assert Pool.objects.get(model=model).policy == "manual"


def test_engines_that_make_up_started_by_itself_before_it_had_nodes_go(model: LanguageModel, tmp_path: Path) -> None:
    pool = register_pool(model=model, served_name=model.name, actor=TESTS)
    for number, source in enumerate((Replica.Source.ENVIRONMENT, Replica.Source.OPERATOR), 1):
        register_replica(pool=pool, url=f"http://127.0.0.1:{number}", source=source, actor=TESTS)
    prepare([model.name], tmp_path)
    assert list(Replica.objects.filter(pool=pool).values_list("source", flat=True)) == ["operator"]
    pool.refresh_from_db()
    assert pool.policy == "manual"


def test_rows_of_an_earlier_life_are_not_taken_for_engines(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare([model.name], tmp_path)
    pool, node = Pool.objects.get(model=model), Node.objects.get(name="simulated-1")
    for number in range(2):
        Replica.objects.create(
            pool=pool, name=f"old-{number}", url=f"http://127.0.0.1:{number + 1}", state=Replica.State.READY,
            source=Replica.Source.FLEET, machine=node, generation=1, observed={"state": "running"},
        )  # fmt: skip
    now = time.time()
    Node.objects.filter(pk=node.pk).update(agent_started_at=now - 60)
    assert not wait_until_ready([model.name], since=now, seconds=0.5)

    def let_the_agent_report(_: float) -> None:
        Node.objects.filter(pk=node.pk).update(agent_started_at=now)

    monkeypatch.setattr("time.sleep", let_the_agent_report)
    assert wait_until_ready([model.name], since=now, seconds=5)
    model.refresh_from_db()
    assert model.published_at is not None


def test_engines_of_the_operators_own_take_their_place(model: LanguageModel, tmp_path: Path) -> None:
    prepare([model.name], tmp_path)
    retire()
    assert not Node.objects.filter(name__in=SIMULATED_NODES).exists()
    assert Pool.objects.get(model=model).policy == "unmanaged"
    prepare([model.name], tmp_path)
    assert Pool.objects.get(model=model).policy == "manual"


def test_a_pool_that_has_moved_to_real_machines_stays_there(model: LanguageModel, tmp_path: Path) -> None:
    prepare([model.name], tmp_path)
    pool = Pool.objects.get(model=model)
    configure_pool(pool, Wish(gpu_memory_mb=1024, labels={"site": "paris"}), by=RUNS)
    retire()
    pool.refresh_from_db()
    assert (pool.policy, pool.wanted) == ("manual", 2)
