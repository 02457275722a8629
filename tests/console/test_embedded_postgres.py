"""The embedded PostgreSQL comes back from every kind of sudden end."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from console.supervisor.account import server_account
from console.supervisor.postgres import APP, OWNER, EmbeddedPostgres
from console.supervisor.processes import spawn, stop

PASSWORDS = {OWNER: secrets.token_hex(8), APP: secrets.token_hex(8)}


class Cluster:
    """A cluster of a test's own, started and stopped at will."""

    def __init__(self, folder: Path) -> None:
        account = server_account()
        self.server = EmbeddedPostgres(
            folder / "data", folder / "sockets", secrets.token_hex(8), account, durable=False
        )
        self.server.sockets.mkdir(mode=0o700)
        self.server.hand_over(self.server.sockets)
        self._log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> int | None:
        """Gives the number of a leftover server that had to be stopped."""
        self.server.initialise()
        leftover = self.server.clear_leftovers()
        process = self.process = spawn(self.server.command(), os.environ, self._log)
        self.server.wait_until_ready(lambda: process.poll() is None)
        self.server.prepare("mine", PASSWORDS)
        return leftover

    def connect(self, role: str = OWNER) -> psycopg.Connection:
        return psycopg.connect(self.server.url(role, PASSWORDS[role], "mine"))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    if account := server_account():
        os.chown(folder, -1, account.gid)
        folder.chmod(0o710)
    made = Cluster(folder)
    yield made
    if made.process:
        stop(made.process, signal.SIGINT, 10)
    shutil.rmtree(folder)


def test_rows_survive_a_server_that_is_killed(cluster: Cluster) -> None:
    cluster.start()
    with cluster.connect() as session:
        session.execute("create table kept (n int)")
    assert cluster.process
    cluster.process.kill()
    cluster.process.wait()
    cluster.start()
    with cluster.connect() as session:
        assert session.execute("select count(*) from kept").fetchone() == (0,)


def test_a_lock_whose_number_is_another_process_today_does_not_keep_it_from_starting(cluster: Cluster) -> None:
    cluster.start()
    assert cluster.process
    cluster.process.kill()
    cluster.process.wait()
    lock = cluster.server.data / "postmaster.pid"
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")  # we live, and are no PostgreSQL
    assert cluster.start() is None


def test_a_server_that_outlived_its_supervisor_is_stopped_first(cluster: Cluster) -> None:
    cluster.start()
    survivor = cluster.process
    assert survivor
    assert cluster.start() == survivor.pid
    assert survivor.wait(5) == 0


def test_an_initialisation_that_was_cut_is_begun_again(cluster: Cluster) -> None:
    unfinished = cluster.server.data.with_name("data.unfinished")
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    cluster.start()
    assert not unfinished.exists()


def test_nobody_gets_in_without_a_password(cluster: Cluster) -> None:
    cluster.start()
    for role in (OWNER, "postgres"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://{role}:wrong@/mine?host={cluster.server.sockets}")


def test_a_statement_that_fails_leaves_no_values_in_the_log(cluster: Cluster) -> None:
    cluster.start()
    with cluster.connect() as session, pytest.raises(psycopg.errors.InvalidTextRepresentation):
        session.execute("select 'a prompt of somebody'::text, 'x'::int")
    time.sleep(0.2)
    assert "a prompt of somebody" not in cluster._log.read_text()
