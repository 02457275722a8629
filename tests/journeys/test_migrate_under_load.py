"""The schema goes a step forward while gateways and Django work on it: nobody fails, nobody waits for long."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from pytest_django import DjangoDbBlocker

from billing.checks.verification import verify
from billing.models import Scope as Holder
from console.supervisor.listening import listen_on_path
from console.supervisor.processes import ROOT
from identity.scopes import Scope
from tests.gateway.relay.bills import PLENTY, assert_exact, await_model, records_of
from tests.gateway.simulated_engine.process import EngineProcess
from tests.support.gateway import GatewayProcess, serve
from tests.support.ledger import HeldKey, House, make_house
from tests.support.load import Load, chat, new_key, page
from tests.support.outage import OwnPostgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

# Where the schema is when the load begins: the code of today runs on it, but has not all of its migrations. Should it
# need a later one some day, take that one.
YESTERDAY = {
    "identity": "0034_budget_duties",
    "billing": "0035_models_by_agreement",
    "pools": "0013_silence",
    "models_catalog": "0004_targets",
}
LOCK_WAIT_S = 2  # for which a try may keep others waiting
SLACK_S = 16  # of a machine that does other things too
LIMITS = "heartbeat_s=0.5,checkpoint_s=0.5"
PACE = {"tokens_per_second": 20, "output_tokens": 20}
# A release to come: a column and an index on the hottest tables, and another version of a function.
LATER = {
    "0001_column": "alter table billing_usage_record add column weather text",
    "0002_index": "create index concurrently hold_by_model on billing_hold (model_id)",
    "0003_function": "create function heartbeat_v2(p_id uuid) returns timestamptz language sql"
    " as $$ select heartbeat_v1(p_id) $$",
}
MIGRATION = """
from django.db import migrations
class Migration(migrations.Migration):
    atomic = {atomic}
    dependencies = {dependencies}
    operations = [migrations.RunSQL({sql!r})]
"""


@dataclass
class Place:
    """A gateway, Django behind it, and their database."""

    postgres: OwnPostgres
    gateway: GatewayProcess
    house: House
    key: HeldKey

    def load(self) -> Load:
        """Whole answers, streams, the management API and a form."""
        model, key = self.house.model.name, self.key.text
        asks = [
            chat(model, key, stream=False),
            chat(model, key, stream=True),
            chat(model, key, stream=True, max_tokens=20, simulate=PACE),
            page("/api/key", key),
            new_key(key),
        ]
        return Load(self.gateway.http_connection, asks * 2, pause_s=0.1)

    def assert_nobody_failed(self, load: Load, what: str) -> None:
        print(load.report(what))
        assert not load.failures
        asked = {told.request_id for told in load.told if "chat" in told.what}
        assert asked <= {str(record.request_id) for record in records_of(self.key.row)}
        assert_exact(self.house, self.key.row)


@pytest.fixture(scope="module")
def place(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("migrate")
    engine = EngineProcess(
        {"demo/chat": "chat"}, folder / "journal", "k", "--tokens-per-second=0", "--first-token-ms=0"
    )
    with (
        OwnPostgres(YESTERDAY) as postgres,
        engine,
        django_db_blocker.unblock(),
        postgres.used_by_django(),
        listen_on_path(folder / "django.sock") as listener,
    ):
        house = make_house()
        serve(house.model, engine)
        key = house.key(Scope.INFERENCE, Scope.KEYS_MANAGE)
        house.budget(Holder.KEY, key.row.pk, PLENTY)
        django = start_django(listener, postgres)
        try:
            environment = postgres.environment | {"BEFFROI_DJANGO_SOCKET": str(folder / "django.sock")}
            with GatewayProcess(folder, LIMITS, **environment) as gateway:
                await_model(gateway, house)
                yield Place(postgres, gateway, house, key)
        finally:
            django.terminate()
            django.wait(20)


def start_django(listener: socket.socket, postgres: OwnPostgres) -> "subprocess.Popen[bytes]":
    number = listener.fileno()
    command = [sys.executable, "-m", "console.server", "--fd", str(number), "--ready-fd", "2"]
    return subprocess.Popen(command, pass_fds=[number], env=os.environ | postgres.environment, cwd=ROOT)


def test_the_steps_since_yesterday_are_applied_and_nobody_notices(place: Place) -> None:
    with place.load() as load:
        load.wait_for_more(20)
        place.postgres.migrate()
        load.wait_for_more(50)
    place.assert_nobody_failed(load, "migrated from yesterday")
    assert verify() == []  # sums that a migration brought up to date, too
    assert max(told.waited for told in load.told) < LOCK_WAIT_S + SLACK_S


def test_behind_a_long_transaction_it_gives_up_and_tries_again(place: Place, later: dict[str, str]) -> None:
    """A report, a backup, a forgotten console: it holds its tables for as long as it likes."""
    command = [sys.executable, "manage.py", "migrate", "later"]
    with place.load() as load, psycopg.connect(place.postgres.environment["DATABASE_OWNER_URL"]) as report:
        report.execute("select count(*) from billing_usage_record, billing_hold")
        migrating = subprocess.Popen(command, cwd=ROOT, env=later, stderr=subprocess.PIPE, text=True)
        assert migrating.stderr is not None
        for _ in range(2):
            assert "in use by others" in migrating.stderr.readline()
        report.commit()
        said = migrating.communicate(timeout=60)[1]
        assert migrating.returncode == 0, said
        load.wait_for_more(50)
    place.assert_nobody_failed(load, "migrated behind a long transaction")
    assert max(told.waited for told in load.told) < 2 * LOCK_WAIT_S + SLACK_S
    with psycopg.connect(place.postgres.environment["DATABASE_OWNER_URL"]) as owner:
        assert owner.execute("select weather from billing_usage_record limit 1").fetchone() == (None,)
        index = owner.execute("select indisvalid from pg_index where indexrelid = 'hold_by_model'::regclass")
        assert index.fetchone() == (True,)
        assert owner.execute("select 'heartbeat_v2(uuid)'::regprocedure").fetchone()


@pytest.fixture
def later(place: Place, tmp_path: Path) -> dict[str, str]:
    """The environment of a release with an app of the migrations in LATER."""
    folder = tmp_path / "later/migrations"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").touch()
    dependencies: list[tuple[str, str]] = []
    for name, sql in LATER.items():
        content = MIGRATION.format(atomic="concurrently" not in sql, dependencies=dependencies, sql=sql)
        (folder / f"{name}.py").write_text(content)
        dependencies = [("later", name)]
    (tmp_path / "later_settings.py").write_text('from console.settings import *\nINSTALLED_APPS += ["later"]\n')
    path = f"{tmp_path}:{ROOT}"
    return os.environ | place.postgres.environment | {"DJANGO_SETTINGS_MODULE": "later_settings", "PYTHONPATH": path}
