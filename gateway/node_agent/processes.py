"""Processes of this machine that we start and that may outlive us: known by number and time of start, never by number
alone, which the kernel gives away again.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from identity.core_dumps import forbid_core_dumps

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STATE, _STARTED = 0, 19  # of what follows the name in /proc/PID/stat (proc(5): fields 3 and 22)
_ENDED = (b"Z", b"X")


@dataclass(frozen=True, slots=True)
class Process:
    """`started`: clock ticks since the machine's own start; `boot`: which start of the machine that was."""

    pid: int
    started: int
    boot: str

    def is_alive(self) -> bool:
        """Whether this very process runs. One that ended and was not waited for does not."""
        fields = _fields(self.pid)
        return bool(fields) and fields[_STATE] not in _ENDED and self._is_meant(fields)

    def send(self, number: signal.Signals) -> None:
        """Signal it, if it still runs."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.is_alive():
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)

    def end_session(self) -> None:
        """Kill it and what is left of those that it started.

        Its number leads its session and is given to nobody else while one of the session lives; once a process of
        another start has it, none does.
        """
        fields = _fields(self.pid)
        if fields and not self._is_meant(fields):
            return
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def _is_meant(self, fields: Sequence[bytes]) -> bool:
        return int(fields[_STARTED]) == self.started and boot_id() == self.boot


def boot_id() -> str:
    """Which start of the machine this is."""
    return _BOOT_ID.read_text().strip()


def spawn(argv: Sequence[str], environment: Mapping[str, str], log: Path, note: Path) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, which outlives us. Its output is appended to `log`.

    The child itself writes its number and start into `note` before it becomes the program, so whoever finds no note
    knows that there is no process, wherever we were killed. Raises OSError where there is no such program.
    """
    note.unlink(missing_ok=True)
    descriptor = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def in_child() -> None:
        forbid_core_dumps()
        os.write(descriptor, b"%d %s" % (os.getpid(), _fields(os.getpid())[_STARTED]))

    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=dict(environment),
                start_new_session=True,
                preexec_fn=in_child,  # noqa: PLW1509  it takes no lock
                umask=0o077,
            )
    finally:
        os.close(descriptor)


def noted(note: Path, boot: str) -> Process | None:
    """The process that wrote this note, in that start of the machine; None: none was started."""
    try:
        pid, started = note.read_text().split()
    except (OSError, ValueError):
        return None
    return Process(int(pid), int(started), boot)


def _fields(pid: int) -> list[bytes]:
    """What /proc tells after the name, which may itself hold spaces and brackets; nothing of one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []
