"""A standby of a test's PostgreSQL, and its WAL kept for a restore: as docs/scale.md tells an operator to do it."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
from django.db import connections

from console.supervisor.postgres import APP, GATEWAY, OWNER, SUPERUSER, EmbeddedPostgres, PostgresError, binaries
from console.supervisor.processes import spawn, stop
from tests.support.outage import OwnPostgres, forget_connections
from tests.support.servers import DATABASE


class ArchivedPostgres(OwnPostgres):
    """A primary that keeps every segment of its WAL."""

    def __enter__(self) -> "ArchivedPostgres":
        super().__enter__()
        self.archive = self.folder / "archive"
        self.archive.mkdir()
        self._cluster.hand_over(self.archive)
        self.stop()
        part = f"{self.archive}/%f.part"  # a file that is there is whole
        self.configure(archive_mode="on", archive_command=f"cp %p {part} && mv {part} {self.archive}/%f")
        self.start()
        return self

    def configure(self, **settings: str) -> None:
        """Add settings; they hold from the next start or `reload` on."""
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def reload(self) -> None:
        """Read the settings again."""
        self.as_superuser("select pg_reload_conf()")

    def as_superuser(self, query: str) -> list[tuple[object, ...]]:
        """The rows of a query."""
        return rows_of(self._cluster, query)

    def kill(self) -> None:
        """kill -9 of all its processes at once: what a lost machine looks like."""
        self._signal(signal.SIGKILL)
        process, self._process = self._process, None
        if process is not None:
            process.wait(20)

    def copy(self, name: str, *options: str) -> "Copy":
        """A base backup, not started."""
        cluster = replace(self._cluster, data=self.folder / name, sockets=self.folder / f"{name}-sockets")
        cluster.sockets.mkdir(mode=0o700)
        cluster.hand_over(cluster.sockets)
        cluster.data.mkdir(mode=0o700)
        cluster.hand_over(cluster.data)
        account = cluster.account
        source = f"host={self._cluster.sockets} user={SUPERUSER} application_name={name}"
        command = [
            str(binaries(account) / "pg_basebackup"),
            "-D",
            str(cluster.data),
            "-d",
            source,
            "-c",
            "fast",
            "-X",
            "stream",
        ]
        subprocess.run(
            [*command, *options],
            env={"PATH": os.environ["PATH"], "PGPASSWORD": cluster.superuser_password},
            cwd="/", check=True, timeout=120,
            user=account.uid if account else None, group=account.gid if account else None,
            extra_groups=[] if account else None,
        )  # fmt: skip
        return Copy(cluster, self._passwords, self.folder / f"{name}.log")

    def environment_with(self, *others: "Copy") -> dict[str, str]:
        """A gateway's: this server and the others, whichever of them takes writes."""
        sockets = ",".join(str(cluster.sockets) for cluster in (self._cluster, *(other.cluster for other in others)))
        address = f"postgresql://{GATEWAY}:{self._passwords[GATEWAY]}@/{DATABASE}?host={sockets}"
        return {"DATABASE_GATEWAY_URL": f"{address}&target_session_attrs=read-write"}


class Copy:
    """A cluster made from a base backup: a standby, or what is restored."""

    def __init__(self, cluster: EmbeddedPostgres, passwords: Mapping[str, str], log: Path) -> None:
        self.cluster, self._passwords, self._log = cluster, passwords, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it can be asked."""
        process = spawn(self.cluster.command(), {"PATH": os.environ["PATH"]}, self._log)
        self._process = process
        try:
            self.cluster.wait_until_ready(lambda: process.poll() is None)
        except PostgresError as error:
            raise AssertionError(self._log.read_text()[-3000:]) from error

    def close(self) -> None:
        """Stop it, if it runs."""
        if self._process is not None:
            stop(self._process, signal.SIGQUIT, 20)

    def as_superuser(self, query: str) -> list[tuple[object, ...]]:
        """The rows of a query."""
        return rows_of(self.cluster, query)

    def recover_until(self, restore_point: str, archive: Path) -> None:
        """At its start it replays what was archived up to a named point, and then takes writes."""
        with (self.cluster.data / "postgresql.conf").open("a") as file:
            file.write(f"restore_command = 'cp {archive}/%f %p'\narchive_mode = 'off'\n")
            file.write(f"recovery_target_name = '{restore_point}'\nrecovery_target_action = 'promote'\n")
            file.write("recovery_target_timeline = 'current'\n")  # a promoted standby archives beside us
        (self.cluster.data / "recovery.signal").touch()
        self.cluster.hand_over(self.cluster.data / "recovery.signal")

    @property
    def owner_url(self) -> str:
        """The owner's address."""
        return self.cluster.url(OWNER, self._passwords[OWNER], DATABASE)

    @property
    def app_url(self) -> str:
        """Django's address."""
        return self.cluster.url(APP, self._passwords[APP], DATABASE)

    @contextmanager
    def used_by_django(self) -> Iterator[None]:
        """Django's connection of this process leads here meanwhile."""
        connection = connections["default"]
        before = dict(connection.settings_dict)
        forget_connections()
        connection.settings_dict.update(
            USER=APP, PASSWORD=self._passwords[APP], HOST=str(self.cluster.sockets), NAME=DATABASE
        )
        try:
            yield
        finally:
            forget_connections()
            connection.settings_dict.update(before)


def rows_of(cluster: EmbeddedPostgres, query: str) -> list[tuple[object, ...]]:
    """What a superuser is answered."""
    url = cluster.url(SUPERUSER, cluster.superuser_password, DATABASE)
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query)
        return list(cursor.fetchall()) if cursor.description else []
