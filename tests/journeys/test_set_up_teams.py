"""docs/set-up-300-teams.md, done as it says: its list, its key, its script, its lines for one team."""

import json
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from tests.support.installation import Installation
from tests.support.servers import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

DOCUMENT = (ROOT / "docs/set-up-300-teams.md").read_text(encoding="utf-8")
TEAMS = 60  # three hundred take half a minute


def block(start: str) -> str:
    """The lines of the block that begins with these words."""
    assert DOCUMENT.count(f"```{start}") == 1, start
    lines = ("```" + start + DOCUMENT.partition(f"```{start}")[2]).splitlines()[1:]
    return "\n".join(takewhile(lambda line: line != "```", lines)) + "\n"


def test_a_list_becomes_many_teams_and_once_more_changes_nothing(beffroi: Installation, tmp_path: Path) -> None:
    key = beffroi.manage("make_operator_key", "Set up teams", "tenants:write", "--days", "1").strip()
    environment = {
        "BEFFROI_URL": beffroi.base_url.removesuffix("/v1"),
        "BEFFROI_OPERATOR_KEY": key,
        "PATH": "/usr/bin:/bin",
    }
    (tmp_path / "set_up_teams.py").write_text(block("python\nimport"), encoding="utf-8")
    head, *lines = block("\nexternal_id").splitlines()
    lines += [f"team-{n:03},Team {n},standard," for n in range(len(lines) + 1, TEAMS + 1)]

    def write(*more: str) -> None:
        text = "\n".join([head, *lines, *more])
        # The first time as Excel saves it in French or Spanish.
        (tmp_path / "teams.csv").write_text(text.replace(",", ";") if more else text, encoding="utf-8-sig")

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "set_up_teams.py", "teams.csv", *options]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    def shell(commands: str) -> list[dict[str, object]]:
        done = subprocess.run(
            ["bash", "-e"], input=commands, env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        decoder, answers, rest = json.JSONDecoder(), [], done.stdout
        while rest:
            answer, end = decoder.raw_decode(rest)
            answers.append(answer)
            rest = rest[end:].lstrip()
        return answers

    write("team-999,Team 999,none,")
    wrong = run("--go")
    assert (wrong.returncode, wrong.stderr) == (1, "team-999: tier: is none that is offered\n")
    write()
    looked = run()
    assert looked.stdout == f"would be: {TEAMS} made, 0 changed, 0 unchanged, 0 refused\n"
    with pytest.raises(AssertionError, match="404"):
        beffroi.get("/api/operator/tenants/team-060", key)
    assert run("--go").stdout.endswith(f"done: {TEAMS} made, 0 changed, 0 unchanged, 0 refused\n")
    assert beffroi.get("/api/operator/tenants/team-060", key)["status"] == "active"
    assert run("--go").stdout.endswith(f"done: 0 made, 0 changed, {TEAMS} unchanged, 0 refused\n")
    read, put, suspended = shell(block("\ncurl -H"))
    assert (read["name"], read["owner"], put, suspended["status"]) == (
        "Digital services", "erin@example.org", read, "suspended",
    )  # fmt: skip
    departments, owners = shell(block("\ncurl -X PUT"))
    assert (departments["makes"], owners["joins"]) == (True, departments["code"])
    [planned] = shell(block("\ncurl -X POST"))
    lines_of_groups = planned["lines"]
    assert isinstance(lines_of_groups, list)
    assert [(line["outcome"], line["external_id"], line["role"]) for line in lines_of_groups] == [
        ("made", "finance", "developer"),
        ("made", "finance", "owner"),
        ("made", "works", "developer"),
    ]
