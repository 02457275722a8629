"""A renewal replaces processes one after another, and what does not get ready replaces nothing."""

import json
import os
import pty
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from console.supervisor.processes import ROOT
from tests.console.test_supervisor import lives, soon

# Tells that it is ready if the file lets it, and notes when it is asked to stop.
PROGRAM = """
import os, signal, sys, time
folder, fd = sys.argv[1], int(sys.argv[2])
def end(*_):
    open(folder + "/ended", "a").write(str(os.getpid()) + "\\n")
    sys.exit()
signal.signal(signal.SIGTERM, end)
if not os.path.exists(folder + "/broken"):
    os.write(fd, b".")
elif open(folder + "/broken").read():
    sys.exit("I cannot start")
while True: time.sleep(0.05)
"""
SCRIPT = """
import json, os, sys
from pathlib import Path
from console.supervisor import readiness
from console.supervisor.processes import Command
from console.supervisor.readiness import ReadyPipe
from console.supervisor.service import Renewal, Service
from console.supervisor.supervisor import StopRequestedError, Supervisor
readiness.READY_SECONDS = 2
folder = Path(sys.argv[1])
supervisor = Supervisor({}, folder)
def tell():
    (folder / "new").write_text(json.dumps(supervisor.pids()))
    (folder / "new").replace(folder / "pids.json")
def service(kind, renewal):
    ready = ReadyPipe()
    argv = [sys.executable, str(folder / "program.py"), str(folder), str(ready.writer)]
    command = Command(argv, pass_fds=[ready.writer])
    return Service(kind, kind, command, 5, ready.wait_until_ready, ready.clear, renewal)
try:
    supervisor.start(service("data", Renewal.NEVER), service("door", Renewal.BESIDE), service("clock", Renewal.AFTER))
    tell()
    supervisor.watch(tell)
except StopRequestedError as request:
    supervisor.stop_all()
    (folder / "stopped").write_text(str(request))
"""


class Renewing:
    """A supervisor of three services in a process of its own; `terminal`: its terminal's descriptor, if it has one."""

    def __init__(self, folder: Path, terminal: int | None = None) -> None:
        self.folder = folder
        (folder / "program.py").write_text(textwrap.dedent(PROGRAM))
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder)], cwd=ROOT, text=True, stdin=terminal or subprocess.DEVNULL,
            stdout=terminal or subprocess.PIPE, stderr=terminal or subprocess.STDOUT,
        )  # fmt: skip
        assert soon((folder / "pids.json").exists), self.process.communicate(timeout=5)

    @property
    def pids(self) -> dict[str, int]:
        return dict(json.loads((self.folder / "pids.json").read_text()))

    def renew(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def end(self) -> str:
        self.process.terminate()
        return self.process.communicate(timeout=30)[0]


def test_a_successor_serves_before_its_predecessor_ends_and_data_stay(tmp_path: Path) -> None:
    supervisor = Renewing(tmp_path)
    before = supervisor.pids
    supervisor.renew()
    assert soon(lambda: supervisor.pids["clock"] != before["clock"])
    after = supervisor.pids
    assert after["data"] == before["data"]
    assert after["door"] != before["door"]
    assert soon(lambda: not lives(before["door"]))
    assert lives(after["door"])
    told = supervisor.end()
    assert f"door is new (process {after['door']}); the old one (process {before['door']}) finishes" in told
    assert f"clock is new (process {after['clock']})" in told
    assert not any(lives(pid) for pid in after.values())


@pytest.mark.parametrize(("why", "told"), [("", "it was not ready after 2 seconds"), ("ends", "it ended")])
def test_what_does_not_get_ready_replaces_nothing(tmp_path: Path, why: str, told: str) -> None:
    supervisor = Renewing(tmp_path)
    before = supervisor.pids
    (tmp_path / "broken").write_text(why)
    supervisor.renew()
    assert soon(lambda: supervisor.pids["clock"] != before["clock"])
    assert supervisor.pids["door"] == before["door"]
    assert lives(before["door"])
    said = supervisor.end()
    assert f"door stays as it was: the new one was not ready: {told}" in said
    assert ("I cannot start" in said) == (why == "ends")


def test_asked_to_stop_in_the_middle_of_it_all_end(tmp_path: Path) -> None:
    supervisor = Renewing(tmp_path)
    (tmp_path / "broken").write_text("")
    supervisor.renew()
    log = tmp_path / "door.log"
    assert soon(lambda: len(children_of(supervisor.process.pid)) == 4), log.read_text()
    children = children_of(supervisor.process.pid)
    supervisor.end()
    assert (tmp_path / "stopped").read_text() == "SIGTERM"
    assert not any(lives(pid) for pid in children)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_its_terminal_closed_it_stops_in_order_instead(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    supervisor = Renewing(tmp_path, terminal=its)
    pids = supervisor.pids
    os.close(its)
    os.close(ours)
    supervisor.renew()  # what the kernel sends to a session whose terminal is gone
    assert supervisor.process.wait(30) == 0
    assert (tmp_path / "stopped").read_text() == "SIGHUP"
    assert not any(lives(pid) for pid in pids.values())
