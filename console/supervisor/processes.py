"""Starts child processes that cannot outlive us."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from console.supervisor.account import Account

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Command:
    """What to run and how it wants to be stopped."""

    argv: Sequence[str]
    stop_signal: signal.Signals = signal.SIGTERM
    account: Account | None = None
    pass_fds: Sequence[int] = ()
    extra_environment: Mapping[str, str] = field(default_factory=dict)


def spawn(command: Command, environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, with its output appended to `log` and nothing to read.

    Ctrl-C in our terminal does not reach it (we stop children in order). When we die, even by SIGKILL, the kernel sends
    it its stop signal. Call from the main thread: the kernel watches the thread that started the child.
    """
    account = command.account
    with log.open("ab") as output:
        return subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/" if account else None,
            env={**environment, **command.extra_environment},
            pass_fds=command.pass_fds,
            start_new_session=True,
            preexec_fn=_end_with(os.getpid(), command.stop_signal),  # noqa: PLW1509  it takes no lock
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def _end_with(parent: int, stop_signal: signal.Signals) -> Callable[[], None]:
    def in_child() -> None:
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
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        end_session(process)


def end_session(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and the children it left behind: they share its session's group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
