"""$BEFFROI_HOME: what an installation keeps on this machine, and the short folder for its sockets."""

import fcntl
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from console.supervisor.account import Account, open_shared_state
from console.supervisor.postgres import APP, GATEWAY, OWNER, SUPERUSER


class HomeError(Exception):
    """The home cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Home:
    """The places of one installation. Nothing is made before `open()`."""

    folder: Path

    @property
    def logs(self) -> Path:
        """One file a process, bounded in size."""
        return self.folder / "logs"

    @property
    def secrets_file(self) -> Path:
        """Every secret of the installation: made once, worth a backup beside the database's."""
        return self.folder / "secrets.json"

    @property
    def audit_keys_file(self) -> Path:
        """What signs the audit chain's checkpoints: made once, and worth a backup beside the other secrets."""
        return self.folder / "audit_keys.json"

    @property
    def command_keys_file(self) -> Path:
        """What signs the commands to nodes: made once; without it every node has to join again."""
        return self.folder / "command_keys.json"

    @property
    def nodes(self) -> Path:
        """A folder for the agent of each simulated node, by its name."""
        return self.folder / "nodes"

    @property
    def demo_file(self) -> Path:
        """What scripts need; it exists exactly while everything runs."""
        return self.folder / "demo.json"

    @property
    def last_demo_file(self) -> Path:
        """The demo.json of the start before: the API key in it is kept nowhere else."""
        return self.folder / "demo.last.json"

    @property
    def sockets(self) -> Path:
        """A folder whose path is short: a Unix socket's has at most 107 bytes, and a home may lie deep."""
        digest = hashlib.sha256(f"{os.geteuid()}:{self.folder}".encode()).hexdigest()
        return Path("/tmp") / f"beffroi-{digest[:12]}"

    def open(self) -> None:
        """Make the folders, closed to everybody but us.

        Raises: HomeError when the home cannot be written, or somebody else owns the folder for the sockets.
        """
        try:
            for folder in (self.folder, self.logs):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HomeError(f"{self.folder} cannot be made: {error.strerror}. Choose another BEFFROI_HOME.") from error
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        if self.sockets.is_symlink() or self.sockets.stat().st_uid != os.geteuid():
            raise HomeError(f"{self.sockets} is somebody else's. Have it removed, or choose another BEFFROI_HOME.")

    def let_in(self, account: Account) -> None:
        """Let the account of PostgreSQL pass through to the folders that are its own, and see nothing else."""
        for folder in (self.folder, self.sockets):
            os.chown(folder, -1, account.gid)
            folder.chmod(0o710)

    def lock(self) -> IO[str] | None:
        """Take the home for as long as this process lives; None when another start has it."""
        lock = (self.folder / "supervisor.lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        return lock

    def holder(self) -> str:
        """The process number of the start that has the home."""
        return (self.folder / "supervisor.lock").read_text().strip() or "?"

    def postgres_data(self, account: Account | None) -> Path:
        """Where PostgreSQL's data lie: behind a link to an open place where root's home is closed to the account."""
        data = self.folder / "postgres"
        if account and not data.exists() and not data.is_symlink() and not account.can_enter(self.folder):
            data.symlink_to(open_shared_state() / f"data-{secrets.token_hex(6)}")
        return data.resolve()


@dataclass(frozen=True)
class Secrets:
    """What is made once and must never change or get lost; the key rings may get further numbers."""

    secret_key: str
    key_peppers: str
    encryption_keys: str
    database_passwords: dict[str, str]
    audit_keys: str
    command_keys: str


def load_secrets(home: Home) -> Secrets:
    """The installation's secrets, made on the first start (by one of two starts at the same time).

    Raises: HomeError when they are gone or unreadable while the database is still there: without the peppers no key
    would work again, and new ones would hide that.
    """
    if not home.secrets_file.exists():
        if os.path.lexists(home.folder / "postgres"):
            raise HomeError(
                f"{home.secrets_file} is missing, but the database it belongs to is still there. "
                f"Put it back from a backup, or remove {home.folder} to start anew."
            )
        _write_first(home.secrets_file, _new_secrets())
    for file, name in ((home.audit_keys_file, "audit_keys"), (home.command_keys_file, "command_keys")):
        if not file.exists():
            _write_first(file, {name: f"1:{secrets.token_hex(32)}"})
    files = (home.secrets_file, home.audit_keys_file, home.command_keys_file)
    try:
        found = {name: value for file in files for name, value in json.loads(file.read_text()).items()}
        found.pop("engine_key", None)  # of the engines that `make up` started by itself before it had nodes
        return Secrets(**found)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        names = ", ".join(map(str, files))
        raise HomeError(f"One of {names} cannot be read. Put it back from a backup.") from error


def _new_secrets() -> dict[str, object]:
    return {
        "secret_key": secrets.token_hex(32),
        "key_peppers": f"1:{secrets.token_hex(32)}",
        "encryption_keys": f"1:{secrets.token_hex(32)}",
        "database_passwords": {role: secrets.token_hex(24) for role in (SUPERUSER, OWNER, APP, GATEWAY)},
    }


def write_json(path: Path, content: object) -> None:
    """Replace a file in one step, readable by us alone: whoever reads it sees the old or the new one, whole."""
    _unfinished(path, content).replace(path)


def _write_first(path: Path, content: object) -> None:
    """As `write_json`, but a file that is there already stays."""
    unfinished = _unfinished(path, content)
    try:
        path.hardlink_to(unfinished)
    except FileExistsError:
        pass
    unfinished.unlink()


def _unfinished(path: Path, content: object) -> Path:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    return unfinished
