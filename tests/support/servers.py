"""One PostgreSQL and one Valkey for a whole run of the tests: real servers, started when the first test needs them.

The environment is made when this module is imported, before Django reads its settings; the addresses are known by then
because the servers listen on Unix sockets in a folder of ours. Tests connect as the roles of production: Django as
beffroi_app, the gateway as beffroi_gateway; only migrations ran as beffroi_owner. So a test cannot do what the product
may not do.
"""

import atexit
import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from console.supervisor.account import server_account
from console.supervisor.postgres import APP, GATEWAY, OWNER, EmbeddedPostgres
from console.supervisor.processes import Command, spawn, stop
from console.supervisor.valkey import EmbeddedValkey

ROOT = Path(__file__).resolve().parent.parent.parent
PREFIX = "beffroi-test-"
DATABASE = "beffroi_test"


class TestServers:
    """The two servers and their addresses."""

    __test__ = False  # pytest: not a test, in spite of its name

    def __init__(self) -> None:
        remove_dead_runs()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))  # a socket's path has at most 107 bytes
        self._lock = hold_lock(self.folder)
        (self.folder / "static").mkdir()  # where an installation collects its static files
        self._account = server_account()
        if self._account:
            os.chown(self.folder, -1, self._account.gid)
            self.folder.chmod(0o710)
        self._running: list[tuple[subprocess.Popen[bytes], Command]] = []
        self.passwords = {role: secrets.token_hex(16) for role in (OWNER, APP, GATEWAY)}
        self.postgres = EmbeddedPostgres(
            data=self.folder / "postgres",
            sockets=self.folder / "sockets",
            superuser_password=secrets.token_hex(16),
            account=self._account,
            durable=False,
        )
        self.valkey = EmbeddedValkey(self.folder / "valkey.sock")
        self._has_database = self._has_valkey = False

    def environment(self) -> dict[str, str]:
        """What the product's processes need, in the form that `make up` gives it to them."""
        url = {role: self.postgres.url(role, password, DATABASE) for role, password in self.passwords.items()}
        return {
            "DATABASE_URL": url[APP],
            "DATABASE_OWNER_URL": url[OWNER],
            "DATABASE_GATEWAY_URL": url[GATEWAY],
            "VALKEY_URL": self.valkey.url,
            "BEFFROI_HOME": str(self.folder),
            "BEFFROI_SECRET_KEY": secrets.token_hex(32),
            "BEFFROI_KEY_PEPPERS": f"1:{secrets.token_hex(32)}",
            "BEFFROI_ENCRYPTION_KEYS": f"1:{secrets.token_hex(32)}",
            "BEFFROI_AUDIT_KEYS": f"1:{secrets.token_hex(32)}",
            "BEFFROI_COMMAND_KEYS": f"1:{secrets.token_hex(32)}",
            "BEFFROI_PUBLIC_URL": "http://127.0.0.1:8000",
        }

    def start_database(self) -> None:
        """Start PostgreSQL with our tables in it, once."""
        if self._has_database:
            return
        self._has_database = True
        self.postgres.sockets.mkdir(mode=0o700)
        self.postgres.hand_over(self.postgres.sockets)
        self.postgres.initialise()
        process = self._start(self.postgres.command(), "postgres")
        self.postgres.wait_until_ready(lambda: process.poll() is None)
        self.postgres.prepare(DATABASE, self.passwords)
        migrate = [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity=0"]
        done = subprocess.run(migrate, cwd=ROOT, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(f"The migrations failed:\n{done.stderr[-4000:]}")

    def start_valkey(self) -> None:
        """Start Valkey, once."""
        if self._has_valkey:
            return
        self._has_valkey = True
        process = self._start(self.valkey.command(), "valkey")
        self.valkey.wait_until_ready(lambda: process.poll() is None)

    def _start(self, command: Command, name: str) -> subprocess.Popen[bytes]:
        process = spawn(command, {"PATH": os.environ.get("PATH", os.defpath)}, self.folder / f"{name}.log")
        self._running.append((process, command))
        return process

    def stop(self) -> None:
        """Stop what runs and remove the folder."""
        while self._running:
            process, command = self._running.pop()
            stop(process, command.stop_signal, patience_seconds=10)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()


def hold_lock(folder: Path) -> IO[str]:
    """Lock a run's folder for as long as its process lives; the kernel lets go even when it is killed."""
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise
    return lock


def remove_dead_runs() -> None:
    """Remove the folders of runs that were killed. Their servers died with them."""
    for folder in Path("/tmp").glob(f"{PREFIX}*"):
        try:
            hold_lock(folder).close()
        except OSError:  # another run's, or another person's
            continue
        shutil.rmtree(folder, ignore_errors=True)


servers = TestServers()
atexit.register(servers.stop)
os.environ.update(servers.environment())
os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
