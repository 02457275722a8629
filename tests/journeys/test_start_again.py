"""Starting what runs already, where it cannot run, and after it was killed as a whole."""

import shutil
import subprocess
from pathlib import Path

import pytest
from openai import OpenAI

from console.supervisor.home import Home
from console.supervisor.processes import ROOT, python
from tests.journeys.bill import Bill
from tests.journeys.test_openai_answers import CHAT, FAST, HELLO
from tests.support.installation import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


def start_another(beffroi: Installation, home: Path) -> subprocess.CompletedProcess[str]:
    """Another start on the same port, which has to end at once."""
    environment = beffroi.environment | {"BEFFROI_HOME": str(home)}
    command = python("manage.py", "up").argv
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def test_a_second_start_says_that_it_runs(beffroi: Installation) -> None:
    done = start_another(beffroi, beffroi.home.folder)
    assert done.returncode == 1
    assert f"already runs in {beffroi.home.folder} (process {beffroi.process.pid})" in done.stderr
    assert beffroi.is_answering()


def test_a_taken_port_says_what_to_do(beffroi: Installation) -> None:
    home = Home(beffroi.folder / "another")
    try:
        done = start_another(beffroi, home.folder)
    finally:
        shutil.rmtree(home.sockets)
    assert done.returncode == 1
    assert f"Port {beffroi.port} is taken" in done.stderr
    assert f"BEFFROI_PORT={beffroi.port + 1} make up" in done.stderr
    assert "Traceback" not in done.stderr
    assert beffroi.is_answering()


def test_killed_as_a_whole_it_finds_everything_as_it_was(beffroi: Installation, client: OpenAI, bill: Bill) -> None:
    answer = client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=4, extra_body=FAST)
    bill.show_usage(answer._request_id, answer.usage)
    demo, records, budgets = beffroi.demo, beffroi.records(), beffroi.budgets()
    beffroi.process.kill()
    beffroi.process.wait()
    beffroi.start()
    assert (beffroi.demo["api_key"], beffroi.demo["models"]) == (demo["api_key"], demo["models"])
    assert beffroi.records() == records
    assert beffroi.budgets() == budgets
    again = client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=4, extra_body=FAST)
    assert again.choices[0].message.content == answer.choices[0].message.content
    bill.show_usage(again._request_id, again.usage)
