"""The supervisor: what dies comes back, what must end ends, and nothing outlives it. Real processes, no Django."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from console.supervisor import leftovers, logs
from console.supervisor.environment import MARK
from console.supervisor.processes import ROOT, Command, spawn
from console.supervisor.service import Service

SLEEPER = "import time\nwhile True: time.sleep(1)"
STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)"


def soon(is_true: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_true():
            return True
        time.sleep(0.05)
    return False


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Running:
    """A supervisor in a process of its own, with children that run the given programs; tells its pids in a file."""

    def __init__(self, folder: Path, *programs: str, patience_seconds: float = 5) -> None:
        self._pids = folder / "pids.json"
        script = f"""
            import json, sys
            from pathlib import Path
            from console.supervisor.processes import Command
            from console.supervisor.service import Service
            from console.supervisor.supervisor import StopRequestedError, Supervisor
            folder = Path({str(folder)!r})
            supervisor = Supervisor({{"{MARK}": str(folder)}}, folder)
            def tell():
                (folder / "new").write_text(json.dumps(supervisor.pids()))
                (folder / "new").replace(folder / "pids.json")
            try:
                supervisor.start(*[
                    Service(f"child {{n}}", f"child{{n}}", Command([sys.executable, "-c", program]), {patience_seconds})
                    for n, program in enumerate({programs!r})
                ])
                tell()
                supervisor.watch(tell)
            except StopRequestedError:
                supervisor.stop_all()
                print("stopped")
        """
        command = [sys.executable, "-c", textwrap.dedent(script)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert soon(self._pids.exists), self.process.communicate(timeout=5)

    def pid(self, number: int = 0) -> int:
        return int(json.loads(self._pids.read_text()).get(f"child{number}", 0))

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=5)

    def end(self) -> str:
        self.process.terminate()
        return self.process.communicate(timeout=30)[0]


def test_a_process_that_dies_comes_back_and_its_last_words_are_shown(tmp_path: Path) -> None:
    supervisor = Running(tmp_path, f"print('my last words', flush=True)\n{SLEEPER}")
    first = supervisor.pid()
    assert soon(lambda: "my last words" in (tmp_path / "child-0.log").read_text())
    os.kill(first, signal.SIGKILL)
    assert soon(lambda: supervisor.pid() not in (0, first) and lives(supervisor.pid()))
    told = supervisor.end()
    assert "child 0 ended (signal SIGKILL)" in told
    assert "my last words" in told
    assert "runs again" in told


def test_being_asked_to_stop_it_stops_the_last_started_first(tmp_path: Path) -> None:
    note = f"open({str(tmp_path / 'order')!r}, 'a').write"
    program = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: ({note}('{name} '), sys.exit()))\n"
    program += "open({ready!r}, 'w')\nwhile True: time.sleep(0.1)"
    ready = [str(tmp_path / name) for name in ("first", "second")]
    programs = [program.format(note=note, name=Path(path).name, ready=path) for path in ready]
    supervisor = Running(tmp_path, *programs)
    assert soon(lambda: all(Path(path).exists() for path in ready))
    assert "stopped" in supervisor.end()
    assert (tmp_path / "order").read_text() == "second first "


def test_a_process_that_does_not_stop_is_killed_when_patience_ends(tmp_path: Path) -> None:
    supervisor = Running(tmp_path, STUBBORN, patience_seconds=0.5)
    pid = supervisor.pid()
    time.sleep(0.3)  # until it ignores the signal
    assert "did not stop by itself" in supervisor.end()
    assert not lives(pid)


def test_children_do_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    supervisor = Running(tmp_path, SLEEPER)
    child = supervisor.pid()
    supervisor.kill()
    assert soon(lambda: not lives(child))


def test_what_outlived_it_all_the_same_is_found_by_its_mark_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "TERMINATE_SECONDS", 0.5)
    supervisor = Running(tmp_path, STUBBORN)
    child = supervisor.pid()
    time.sleep(0.3)
    supervisor.kill()
    assert lives(child)
    assert leftovers.end_leftovers(tmp_path / "another home", time.sleep) == 0
    assert leftovers.end_leftovers(tmp_path, time.sleep) == 1
    assert soon(lambda: not lives(child))


def test_a_process_that_ends_at_once_is_given_more_and_more_time(tmp_path: Path) -> None:
    service = Service("short", "short", Command([sys.executable, "-c", ""]), 1)
    waits = []
    for _ in range(8):
        service.start(os.environ, tmp_path / "log")
        assert soon(service.has_ended)
        waits.append(service.back_off_seconds)
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30]
    assert not service.is_due()


def test_a_child_leaves_no_core_dump_and_no_file_that_others_may_read(tmp_path: Path) -> None:
    program = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE)); open('made', 'w')"
    process = spawn(Command([sys.executable, "-c", program], folder=tmp_path), os.environ, tmp_path / "log")
    assert process.wait(10) == 0
    assert (tmp_path / "log").read_text() == "(1, 1)\n"
    assert (tmp_path / "made").stat().st_mode & 0o077 == 0


def test_a_log_stays_small_while_its_writer_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 100)
    log = tmp_path / "x.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old line\n" * 20)
        logs.keep_small(log)
        writer.write(b"new line\n")
    assert log.read_bytes() == b"new line\n"
    assert (tmp_path / "x.log.1").read_bytes() == b"old line\n" * 20
    assert logs.last_lines(log) == "    | new line"
