"""demo.json and the last words of a start: scripts and newcomers take them literally."""

import json
import shlex
from pathlib import Path

from console.supervisor import announcement
from console.supervisor.announcement import Demo
from console.supervisor.home import Home

ROLES = ("owner", "finance", "developer", "operator")
DEMO = Demo("bfr_key", {role: f"http://h:1/{role}" for role in ROLES}, {"chat": "gpt-oss:120b", "embedding": "bge"})


def test_demo_json_has_the_agreed_form() -> None:
    content = announcement.demo_json("http://h:1", DEMO, {"gateway": [1, 2], "postgres": 3})
    assert content == {
        "base_url": "http://h:1/v1",
        "api_key": "bfr_key",
        "console_url": "http://h:1/",
        "login_url": "http://h:1/owner",
        "login_urls": {role: f"http://h:1/{role}" for role in ROLES},
        "models": {"chat": "gpt-oss:120b", "embedding": "bge"},
        "pids": {"gateway": [1, 2], "postgres": 3},
    }


def test_the_key_survives_starts_that_only_know_its_digest(tmp_path: Path) -> None:
    home = Home(tmp_path)
    announcement.publish(home, announcement.demo_json("http://h:1", DEMO, {}))
    assert announcement.hide_last(home) == "bfr_key"
    assert not home.demo_file.exists()
    assert announcement.hide_last(home) == "bfr_key"  # a start that failed before it was ready
    answer = json.dumps({"api_key": None, "login_urls": {}, "models": {}})
    assert announcement.read_demo(answer, "bfr_key").api_key == "bfr_key"


def test_the_printed_command_can_be_pasted() -> None:
    lines = announcement.welcome("http://h:1", DEMO).splitlines()
    start = next(number for number, line in enumerate(lines) if "curl -N" in line)
    words = shlex.split("\n".join(lines[start : start + 2]))
    body = json.loads(words[words.index("-d") + 1])
    assert body["model"] == "gpt-oss:120b"
    assert body["stream"] is True
    assert "Authorization: Bearer bfr_key" in words


def test_the_printed_python_can_be_pasted() -> None:
    text = announcement.welcome("http://h:1", DEMO)
    snippet = text[text.index("From Python") : text.index("What it cost")]
    compile(snippet.partition("\n")[2], "snippet", "exec")
