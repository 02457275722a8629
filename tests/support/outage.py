"""A PostgreSQL of a test's own that may be stopped and started under load."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from django.db import connections

from console.supervisor.account import server_account
from console.supervisor.postgres import APP, GATEWAY, OWNER, SUPERUSER, EmbeddedPostgres
from console.supervisor.processes import spawn
from tests.support.servers import DATABASE, PREFIX, ROOT, hold_lock


class OwnPostgres:
    """A cluster with our tables in it, durable as in production unless told otherwise.

    `until`: by app, the migration after which no further one is applied.
    """

    def __init__(self, until: Mapping[str, str] | None = None, *, durable: bool = True) -> None:
        self._until = until or {}
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
        self._lock = hold_lock(self.folder)
        account = server_account()
        if account:
            os.chown(self.folder, -1, account.gid)
            self.folder.chmod(0o710)
        self._cluster = EmbeddedPostgres(
            self.folder / "postgres", self.folder / "sockets", secrets.token_hex(16), account, durable=durable
        )
        self._passwords = {role: secrets.token_hex(16) for role in (OWNER, APP, GATEWAY)}
        self.log = self.folder / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """The cluster's folder, where whatever was written lies."""
        return self._cluster.data

    @property
    def environment(self) -> dict[str, str]:
        """What a gateway is told instead of the shared database."""
        url = {role: self._cluster.url(role, password, DATABASE) for role, password in self._passwords.items()}
        return {
            "DATABASE_URL": url[APP],
            "DATABASE_OWNER_URL": url[OWNER],
            "DATABASE_GATEWAY_URL": url[GATEWAY],
        }

    @property
    def superuser_url(self) -> str:
        """For who may do what no role of ours may."""
        return self._cluster.url(SUPERUSER, self._cluster.superuser_password, DATABASE)

    def __enter__(self) -> Self:
        self._cluster.sockets.mkdir(mode=0o700)
        self._cluster.hand_over(self._cluster.sockets)
        self._cluster.initialise()
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(
                "recovery_init_sync_method = syncfs\n"
            )  # a start after a crash in one second instead of four
        self.start()
        self._cluster.prepare(DATABASE, self._passwords)
        if self._until:
            self._migrate_until()
        else:
            self.migrate()
        return self

    def migrate(self) -> None:
        """`manage.py migrate`, to the last one."""
        command = [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity=0"]
        subprocess.run(command, env=os.environ | self.environment, check=True, timeout=300)

    def _migrate_until(self) -> None:
        program = (
            "import django; django.setup()\n"
            "from django.core.management import call_command\n"
            f"until = {dict(self._until)!r}\n"
            "for app in [*until, 'contenttypes', 'auth', 'sessions']:\n"
            "    call_command('migrate', app, *filter(None, [until.get(app)]), verbosity=0)\n"
        )
        environment = self.environment | {"DATABASE_URL": self.environment["DATABASE_OWNER_URL"]}
        command = [sys.executable, "-c", program]
        subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True, timeout=300)

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._process is not None

    def start(self) -> None:
        """Start it, after a crash too."""
        self._cluster.clear_leftovers()
        process = spawn(self._cluster.command(), {"PATH": os.environ.get("PATH", os.defpath)}, self.log)
        self._process = process
        self._cluster.wait_until_ready(lambda: process.poll() is None)
        forget_connections()

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """`pg_ctl stop -m immediate`: every session is cut, nothing is flushed, the next start recovers.

        SIGINT is the fast stop of a planned restart; SIGKILL ends the postmaster, and its children find out.
        """
        process, self._process = self._process, None
        if process is None:
            return
        self.thaw()
        process.send_signal(how)
        process.wait(20)
        deadline = time.monotonic() + 20
        while self._pids():
            assert time.monotonic() < deadline, "PostgreSQL's children outlive it"
            time.sleep(0.02)

    def freeze(self) -> None:
        """Stop all its processes where they stand: connections stay open, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids():
            with suppress(ProcessLookupError):  # a worker of PostgreSQL's own may just have ended
                os.kill(pid, number)

    def _pids(self) -> list[int]:
        """The postmaster and its children: those whose working folder is the cluster's."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(folder / "cwd") == str(self.data):
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    @contextmanager
    def used_by_django(self, role: str = APP) -> Iterator[None]:
        """Django's connection of this process leads here meanwhile."""
        connection = connections["default"]
        shared = dict(connection.settings_dict)
        forget_connections()
        password, host = self._passwords[role], str(self._cluster.sockets)
        connection.settings_dict.update(USER=role, PASSWORD=password, HOST=host, NAME=DATABASE)
        try:
            yield
        finally:
            forget_connections()
            connection.settings_dict.update(shared)


def forget_connections() -> None:
    """Close Django's connections of this process: the next query makes new ones."""
    connection = connections["default"]
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's has one
