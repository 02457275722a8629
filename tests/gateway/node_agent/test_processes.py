"""Engines' processes: known again by number and start, ended with all that they started, never mistaken for others."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.node_agent.processes import Process, boot_id, noted, spawn
from tests.gateway.node_agent.platform import eventually

SLEEPER = "import time; time.sleep(300)"
FAMILY = f"""
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", {SLEEPER!r}]).pid, flush=True)
time.sleep(300)
"""
Started = list[tuple[Process, subprocess.Popen[bytes]]]


@pytest.fixture
def started() -> Iterator[Started]:
    living: Started = []
    yield living
    for process, child in living:
        process.end_session()
        child.wait()


def run(program: str, folder: Path, started: Started) -> Process:
    child = spawn([sys.executable, "-c", program], {}, folder / "log", folder / "note")
    found = noted(folder / "note", boot_id())
    assert found is not None
    started.append((found, child))
    return found


def test_a_process_notes_itself_and_is_known_again(tmp_path: Path, started: Started) -> None:
    process = run(SLEEPER, tmp_path, started)
    assert process.is_alive()
    assert noted(tmp_path / "note", boot_id()) == process
    process.send(signal.SIGTERM)
    assert eventually(lambda: not process.is_alive())
    process.send(signal.SIGTERM)  # nobody is there: nothing happens


def test_another_process_of_the_same_number_is_not_it(tmp_path: Path, started: Started) -> None:
    process = run(SLEEPER, tmp_path, started)
    others = (replace(process, started=process.started + 1), replace(process, boot="another start of the machine"))
    for other in others:
        assert not other.is_alive()
        other.send(signal.SIGKILL)
        other.end_session()
    time.sleep(0.2)
    assert process.is_alive()


def test_what_it_started_ends_with_it_even_when_it_was_killed_before(tmp_path: Path, started: Started) -> None:
    process = run(FAMILY, tmp_path, started)
    assert eventually(lambda: (tmp_path / "log").read_text().strip() != "")
    child = int((tmp_path / "log").read_text())
    os.kill(process.pid, signal.SIGKILL)
    started[0][1].wait()
    assert Path(f"/proc/{child}").exists()
    process.end_session()
    assert eventually(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text())


def test_it_has_a_session_of_its_own_no_input_and_no_core_dumps(tmp_path: Path, started: Started) -> None:
    program = "import os, resource, sys; print(os.getsid(0) == os.getpid(), repr(sys.stdin.read()), os.getcwd(), "
    program += "resource.getrlimit(resource.RLIMIT_CORE), oct(os.umask(0)), flush=True)"
    run(program, tmp_path, started)
    assert eventually(lambda: (tmp_path / "log").read_text().endswith("\n"))
    assert (tmp_path / "log").read_text() == "True '' / (1, 1) 0o77\n"


def test_where_there_is_no_such_program_there_is_no_process(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        spawn(["/nowhere/vllm"], {}, tmp_path / "log", tmp_path / "note")
    found = noted(tmp_path / "note", boot_id())
    assert found is None or not found.is_alive()
    assert noted(tmp_path / "no note", boot_id()) is None
