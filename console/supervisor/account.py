"""PostgreSQL refuses to run as root: started by root, it gets a system account of its own."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ACCOUNT_NAME = "beffroi"
# Where root keeps what that account must reach, when our own folders are closed to it (a clone in /root).
SHARED_STATE = Path("/var/lib/beffroi")


def open_shared_state() -> Path:
    """`SHARED_STATE`, which the account may pass through, whatever a new folder is closed to by our umask."""
    SHARED_STATE.mkdir(parents=True, exist_ok=True)
    SHARED_STATE.chmod(0o755)
    return SHARED_STATE


class AccountError(Exception):
    """Root has no account to hand PostgreSQL to; the message says what to do."""


@dataclass(frozen=True)
class Account:
    """A system account other than ours."""

    name: str
    uid: int
    gid: int

    def can_enter(self, folder: Path) -> bool:
        """Whether the account may pass through to this folder: each folder above it must let it."""
        check = ["test", "-x", str(folder)]
        return subprocess.run(check, cwd="/", user=self.uid, group=self.gid, extra_groups=[]).returncode == 0


def server_account() -> Account | None:
    """The account for PostgreSQL, made on first use; None when we are not root and simply run it ourselves.

    Raises: AccountError when root cannot make an account.
    """
    if os.geteuid() != 0:
        return None
    if not _exists(ACCOUNT_NAME):
        _make(ACCOUNT_NAME)
    entry = pwd.getpwnam(ACCOUNT_NAME)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _exists(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())


def _make(name: str) -> None:
    command = shutil.which("useradd")
    if command is None:
        raise AccountError("PostgreSQL refuses to run as root and `useradd` is missing: start as an ordinary user.")
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/", "--shell", "/usr/sbin/nologin"]
    done = subprocess.run([command, *options, name], capture_output=True, text=True)
    if done.returncode != 0 and not _exists(name):  # another start may have been faster
        raise AccountError(f"The account {name!r} for PostgreSQL could not be made: {done.stderr.strip()}")
