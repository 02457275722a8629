"""Many keys: read without stopping anybody, and true whatever is changed, lost or cut meanwhile."""

import asyncio
import gc
import os
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection

from gateway.relay import snapshot_reader
from gateway.relay.authenticate import Verifier, authenticate
from gateway.relay.config import Config, config_from_environment
from gateway.relay.errors import Refusal
from gateway.relay.http_message import HttpRequest
from gateway.relay.snapshot import Snapshot
from gateway.relay.snapshot_reader import OVERLAP, SnapshotReader
from identity.api_keys import revoke_api_key
from identity.models import ApiKey, Project
from tests.support.outage import OwnPostgres
from tests.support.people import TESTS, default_project, make_key, make_tenant

pytestmark = pytest.mark.usefixtures("database")

PATIENCE_S = 45  # after a lost connection everything is read again within 30 s
REVOKED = "update identity_apikey set revoked_at = now(), policy_version = nextval('policy_version_seq') where id = %s"
MANY = """
    insert into identity_apikey (tenant_id, project_id, name, lookup, digest, pepper_id, scopes, allowed_models,
        ip_ranges, origins, policy_version, created_at)
    select %(tenant)s, %(project)s, 'many', substr(md5(n::text || %(salt)s), 1, 10), sha256(n::text::bytea), 1,
        array['inference'], '{}', '{}', '{}', 0, now()
    from generate_series(1, %(count)s) n on conflict do nothing
"""


class Reading:
    """A reader at work in a thread of its own, as in a gateway."""

    def __init__(self, config: Config) -> None:
        self.config, self.snapshot = config, Snapshot()
        self.reader = SnapshotReader(config, self.snapshot)
        self.longest_pause_s = 0.0  # CPU time in which nothing else could run
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def __enter__(self) -> "Reading":
        self._thread.start()
        await_that(lambda: self.snapshot.loaded)
        return self

    def __exit__(self, *_: object) -> None:
        for work in self._work:
            self._loop.call_soon_threadsafe(work.cancel)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def ask(self, text: str) -> str:
        """ "ok", or the code with which the key is refused."""
        request = HttpRequest(fields={b"authorization": f"Bearer {text}".encode()})
        try:
            authenticate(request, "192.0.2.1", Verifier(), self.snapshot, self.config, time.time())
        except Refusal as refusal:
            return str(refusal.code)
        return "ok"

    def do(self, work: Callable[[], Any]) -> Any:
        """Run a coroutine of the reader where it lives."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(PATIENCE_S)

    async def _run(self) -> None:
        self._work = [asyncio.ensure_future(work) for work in (self.reader.run(), self._watch())]
        await asyncio.gather(*self._work, return_exceptions=True)
        await self.reader.close()

    async def _watch(self) -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            self.longest_pause_s = max(self.longest_pause_s, time.thread_time() - began)


def await_that(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def postgres(own_postgres: OwnPostgres) -> Iterator[OwnPostgres]:
    with own_postgres.used_by_django():
        yield own_postgres


@pytest.fixture
def config(postgres: OwnPostgres) -> Config:
    return config_from_environment(os.environ | postgres.environment | {"BEFFROI_DJANGO_SOCKET": "/nowhere"})


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Neither poll nor second reading: only news."""
    monkeypatch.setattr(snapshot_reader, "POLL_S", 1000)
    monkeypatch.setattr(snapshot_reader, "REREAD_SOON_S", 1000)
    return monkeypatch


def make_many(count: int) -> Project:
    project = default_project(make_tenant())
    with connection.cursor() as cursor:
        values: dict[str, Any] = {
            "tenant": project.tenant_id,
            "project": project.pk,
            "count": count,
            "salt": secrets.token_hex(4),
        }
        cursor.execute(MANY, values)
    return project


def revoke_by_sql(key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk).update(revoked_at="2026-01-01T00:00:00Z")


@contextmanager
def without_news(postgres: OwnPostgres) -> Iterator[psycopg.Connection]:
    """As the owner, who takes the trigger away: changes are told to nobody."""
    with psycopg.connect(postgres.environment["DATABASE_OWNER_URL"]) as owner:
        # What refers to a key is looked at at once: a table with checks still to come cannot be altered.
        owner.execute("set constraints all immediate")
        owner.execute("alter table identity_apikey disable trigger user")
        yield owner
        owner.execute("alter table identity_apikey enable trigger user")


def cut_ear(postgres: OwnPostgres) -> None:
    with psycopg.connect(postgres.environment["DATABASE_GATEWAY_URL"], autocommit=True) as gateway:
        gateway.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'beffroi policy news'"
        )


def test_20_000_keys_are_read_and_read_again_in_pieces(quiet: pytest.MonkeyPatch, config: Config) -> None:
    project = make_many(20_000)
    ids = set(ApiKey.objects.filter(project=project).values_list("pk", flat=True))
    gc.collect()
    gc.freeze()  # what the tests before have left is no part of a gateway
    with Reading(config) as reading:
        reading.do(reading.reader.read_all)
        gc.unfreeze()
        known = {key_id for part in reading.snapshot.keys.ids() for key_id in part}
        assert ids <= known
        assert len(reading.snapshot.keys) == ApiKey.objects.count()
        # 20,000 at once would be 120 ms; a piece is 3 ms, and a garbage collection may fall into it.
        assert reading.longest_pause_s < 0.04


def test_a_revocation_a_new_key_and_a_deleted_one_are_heard_at_once(quiet: pytest.MonkeyPatch, config: Config) -> None:
    tenant = make_tenant()
    (revoked, revoked_text), (deleted, deleted_text) = make_key(tenant), make_key(tenant)
    with Reading(config) as reading:
        assert [reading.ask(revoked_text), reading.ask(deleted_text)] == ["ok", "ok"]
        revoke_api_key(revoked, actor=TESTS)
        deleted.delete()
        _, fresh_text = make_key(tenant)
        await_that(lambda: reading.ask(fresh_text) == "ok")
        assert reading.ask(revoked_text) == "api_key_revoked"
        assert reading.ask(deleted_text) == "invalid_api_key"


def test_a_change_without_its_news_is_found_by_the_poll(
    monkeypatch: pytest.MonkeyPatch, config: Config, postgres: OwnPostgres
) -> None:
    monkeypatch.setattr(snapshot_reader, "POLL_S", 0.2)
    key, text = make_key(make_tenant())
    with Reading(config) as reading:
        assert reading.ask(text) == "ok"
        with without_news(postgres) as owner:
            owner.execute(REVOKED, [key.pk])
        await_that(lambda: reading.ask(text) == "api_key_revoked")


def test_news_of_a_newer_change_hide_no_older_one_that_was_missed(
    monkeypatch: pytest.MonkeyPatch, config: Config, postgres: OwnPostgres
) -> None:
    tenant = make_tenant()
    (missed, missed_text), (heard, heard_text) = make_key(tenant), make_key(tenant)
    with Reading(config) as reading:
        with without_news(postgres) as owner:
            owner.execute(REVOKED, [missed.pk])
            owner.execute("select nextval('policy_version_seq') from generate_series(1, 3 * %s)", [OVERLAP])
        revoke_by_sql(heard)
        await_that(lambda: reading.ask(heard_text) == "api_key_revoked")
        await_that(lambda: reading.ask(missed_text) == "api_key_revoked")


def test_what_happened_while_nobody_listened_is_known_afterwards(
    quiet: pytest.MonkeyPatch, config: Config, postgres: OwnPostgres
) -> None:
    quiet.setattr(snapshot_reader, "REREAD_SOON_S", 0.1)
    tenant = make_tenant()
    (revoked, revoked_text), (deleted, deleted_text) = make_key(tenant), make_key(tenant)
    with Reading(config) as reading:
        postgres.stop()
        await_that(lambda: not reading.reader.is_current)
        postgres.start()
        with without_news(postgres) as owner:
            owner.execute(REVOKED, [revoked.pk])
            owner.execute("delete from identity_apikey where id = %s", [deleted.pk])
        await_that(lambda: reading.ask(revoked_text) == "api_key_revoked")
        await_that(lambda: reading.ask(deleted_text) == "invalid_api_key")


def test_no_change_is_lost_while_everything_is_read_again(
    quiet: pytest.MonkeyPatch, config: Config, postgres: OwnPostgres
) -> None:
    # Of a key that was deleted while nobody listened only a whole reading tells that begins later.
    quiet.setattr(snapshot_reader, "REREAD_SOON_S", 0.1)
    project = make_many(3_000)
    keys = list(ApiKey.objects.filter(project=project))
    dice = random.Random(1)
    with Reading(config) as reading:
        stop = threading.Event()

        def read_again() -> None:
            while not stop.is_set():
                reading.do(reading.reader.read_all)

        rereading = threading.Thread(target=read_again)
        rereading.start()
        changed = dice.sample(keys, 300)
        for number, key in enumerate(changed):
            if number % 3:
                revoke_by_sql(key)
            else:
                key.delete()
            if number % 100 == 50:
                cut_ear(postgres)
        stop.set()
        rereading.join(PATIENCE_S)
        truth = {key.pk: key.revoked_at is not None for key in ApiKey.objects.filter(project=project)}

        def known() -> dict[int, bool]:
            ids = [key_id for part in reading.snapshot.keys.ids() for key_id in part]
            found = [reading.snapshot.keys.of_id(key_id) for key_id in ids]
            return {key.id: key.is_revoked for key in found if key is not None and key.project_id == project.pk}

        await_that(lambda: known() == truth)


def test_a_reader_that_starts_knows_what_one_that_followed_knows(quiet: pytest.MonkeyPatch, config: Config) -> None:
    tenant = make_tenant()
    with Reading(config) as follower:
        made = [make_key(tenant, allowed_models=(f"model-{number}",)) for number in range(20)]
        for key, _ in made[::3]:
            revoke_api_key(key, actor=TESTS)
        await_that(lambda: follower.ask(made[18][1]) == "api_key_revoked")
        with Reading(config) as starter:
            ids = [key_id for part in starter.snapshot.keys.ids() for key_id in part]
            assert {key.pk for key, _ in made} <= set(ids)
            assert [follower.snapshot.keys.of_id(key_id) for key_id in ids] == [
                starter.snapshot.keys.of_id(key_id) for key_id in ids
            ]
            assert follower.snapshot.tenants == starter.snapshot.tenants


def test_keys_of_two_peppers_open_the_door_until_theirs_is_taken_away(
    quiet: pytest.MonkeyPatch, postgres: OwnPostgres, settings: Any
) -> None:
    tenant = make_tenant()
    _, old_text = make_key(tenant)
    both = os.environ["BEFFROI_KEY_PEPPERS"] + f",2:{secrets.token_hex(32)}"
    environment = os.environ | postgres.environment | {"BEFFROI_DJANGO_SOCKET": "/nowhere"}
    rotated = config_from_environment(environment | {"BEFFROI_KEY_PEPPERS": both})
    settings.KEY_PEPPERS = rotated.peppers
    _, new_text = make_key(tenant)
    with Reading(rotated) as reading:
        assert [reading.ask(old_text), reading.ask(new_text)] == ["ok", "ok"]
    only_new = config_from_environment(environment | {"BEFFROI_KEY_PEPPERS": both.partition(",")[2]})
    with Reading(only_new) as reading:
        assert [reading.ask(old_text), reading.ask(new_text)] == ["invalid_api_key", "ok"]


def test_an_archived_project_and_a_suspended_tenant_shut_their_keys_out_at_once(
    quiet: pytest.MonkeyPatch, config: Config
) -> None:
    tenant = make_tenant()
    _, text = make_key(tenant)
    with Reading(config) as reading:
        assert reading.ask(text) == "ok"
        Project.objects.filter(tenant=tenant).update(status=Project.Status.ARCHIVED)
        await_that(lambda: reading.ask(text) == "project_archived")
        Project.objects.filter(tenant=tenant).update(status=Project.Status.ACTIVE)
        await_that(lambda: reading.ask(text) == "ok")
