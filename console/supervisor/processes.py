"""Starts child processes that cannot outlive us."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from console.supervisor.account import Account
from identity.core_dumps import forbid_core_dumps

ROOT = Path(__file__).resolve().parent.parent.parent
# Tells a process what it is called in the log.
PROCESS = "BEFFROI_PROCESS"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Command:
    """What to run, in which folder, as whom, and how it wants to be stopped."""

    argv: Sequence[str]
    stop_signal: signal.Signals = signal.SIGTERM
    account: Account | None = None
    pass_fds: Sequence[int] = ()
    folder: Path = Path("/")


def python(*arguments: str, pass_fds: Sequence[int] = ()) -> Command:
    """A command of ours, run by this very Python."""
    return Command([sys.executable, *arguments], folder=ROOT, pass_fds=pass_fds)


def spawn(
    command: Command, environment: Mapping[str, str], log: Path, stdout: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, with its output appended to `log` and nothing to read.

    Ctrl-C in our terminal does not reach it (we stop children in order). When we die, even by SIGKILL, the kernel sends
    it its stop signal. Call from the main thread: the kernel watches the thread that started the child.
    """
    account = command.account
    with log.open("ab") as log_file:
        return subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=stdout or log_file,
            stderr=log_file,
            cwd=command.folder,
            env=dict(environment),
            pass_fds=command.pass_fds,
            start_new_session=True,
            preexec_fn=_prepare(os.getpid(), command.stop_signal),  # noqa: PLW1509  it takes no lock
            umask=0o077,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def _prepare(parent: int, stop_signal: signal.Signals) -> Callable[[], None]:
    def in_child() -> None:
        forbid_core_dumps()
        _libc.prctl(_PR_SET_PDEATHSIG, int(stop_signal))
        if os.getppid() != parent:  # it died before we could ask to be told
            os._exit(1)

    return in_child


def stop(process: subprocess.Popen[bytes], stop_signal: signal.Signals, patience_seconds: float) -> bool:
    """Ask a process to stop, wait, then end whatever is left of its session. True when it went by itself."""
    if process.poll() is None:
        process.send_signal(stop_signal)
    try:
        process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        return False
    else:
        return True
    finally:
        end_session(process)


def end_session(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and the children it left behind: they share its session's group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
