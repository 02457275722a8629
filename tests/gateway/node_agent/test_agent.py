"""The agent as a process: it makes of the machine what it is told, whatever is killed meanwhile."""

import contextlib
import http.client
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.gateway.node_agent.conftest import Start
from tests.gateway.node_agent.platform import QUEUE, Platform, eventually, runs, spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def ask(replica: dict[str, Any], key: str) -> str:
    """What an engine answers to a chat request: its status, or the text."""
    body = json.dumps({"model": "demo/chat", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3})
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{replica['url']}/v1/chat/completions", body.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(json.load(answer)["choices"][0]["message"]["content"])
    except urllib.error.HTTPError as error:
        return str(error.code)


def test_a_machine_joins_and_says_what_it_is(platform: Platform, start: Start) -> None:
    agent = start("--label=site=paris", "--label=rack=7")
    assert eventually(lambda: bool(platform.report()))
    report = platform.report()
    assert (report["generation"], report["replicas"], report["is_simulated"]) == (0, [], False)
    assert report["labels"] == {"site": "paris", "rack": "7"}
    assert report["address"] == "127.0.0.1"
    assert report["cpus"] >= 1
    assert report["memory_bytes"] > 2**28
    assert 0 < report["disk"]["free_bytes"] < report["disk"]["total_bytes"]
    assert agent.home.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in agent.home.iterdir() if path.is_file()} == {0o600}


def test_what_is_assigned_runs_serves_and_ends(platform: Platform, start: Start) -> None:
    start()
    generation = platform.assign(spec(17), spec(18))
    first, second = platform.wait_for(17, "running"), platform.wait_for(18, "running")
    assert platform.report()["generation"] == generation
    assert first["url"] != second["url"]
    assert ask(first, "key-of-17") not in ("401", "")
    assert ask(first, "key-of-18") == "401"
    platform.assign(spec(18))
    assert eventually(lambda: platform.replica(17) == {})
    assert not runs(first["pid"])
    assert platform.replica(18)["pid"] == second["pid"]


def test_a_killed_engine_is_told_in_words_and_not_started_again(platform: Platform, start: Start) -> None:
    agent = start()
    platform.assign(spec(17))
    os.kill(platform.wait_for(17, "running")["pid"], signal.SIGKILL)
    ended = platform.wait_for(17, "exited")
    assert (ended["fault"], ended["exit_code"], ended["pid"]) == ("killed", -9, None)
    assert "SIGKILL" in ended["words"]
    agent.kill()
    agent.start()
    platform.assign(spec(17))
    assert eventually(lambda: platform.report()["generation"] == platform.generation)
    time.sleep(1.5)
    assert platform.replica(17)["state"] == "exited"
    platform.assign(spec(19))
    platform.wait_for(19, "running")
    assert platform.replica(17) == {}


def test_a_killed_agent_comes_back_to_its_engines(platform: Platform, start: Start) -> None:
    agent = start()
    platform.assign(spec(17), spec(18))
    before, doomed = platform.wait_for(17, "running"), platform.wait_for(18, "running")
    agent.kill()
    assert ask(before, "key-of-17") not in ("401", "")
    os.kill(doomed["pid"], signal.SIGKILL)
    agent.start()
    assert platform.wait_for(18, "exited")["words"] == "It ended while no agent was there to see how."
    assert platform.replica(17)["pid"] == before["pid"]
    assert platform.report()["generation"] == 0
    platform.send(platform.signed(spec(17), spec(18)))  # the same generation, as the platform says it until it is had
    assert eventually(lambda: platform.report()["generation"] == platform.generation)
    assert platform.replica(17)["pid"] == before["pid"]
    platform.assign()
    assert eventually(lambda: platform.report()["replicas"] == [])
    assert not runs(before["pid"])


def test_a_machine_that_joins_anew_begins_anew(platform: Platform, start: Start) -> None:
    agent = start()
    platform.generation = 100
    platform.assign(spec(17))
    before = platform.wait_for(17, "running")
    agent.kill()
    platform.key, platform.token, platform.generation = Ed25519PrivateKey.generate(), "bfn_of_another_platform", 0
    agent.start()
    platform.assign(spec(17))
    assert eventually(lambda: platform.report()["generation"] == 1)
    assert platform.wait_for(17, "running")["pid"] != before["pid"]
    assert not runs(before["pid"])


def test_an_agent_that_is_stopped_leaves_its_engines_running(platform: Platform, start: Start) -> None:
    agent = start()
    platform.assign(spec(17))
    before = platform.wait_for(17, "running")
    agent.stop()
    assert agent.process.returncode == 0
    assert runs(before["pid"])
    agent.start()
    assert eventually(lambda: platform.report()["agent"]["started_at"] >= before["since"])
    assert platform.wait_for(17, "running")["pid"] == before["pid"]


def test_the_broker_may_go_and_come_back(platform: Platform, start: Start) -> None:
    start()
    platform.assign(spec(17))
    before = platform.wait_for(17, "running")
    platform.stop_broker()
    time.sleep(2)
    platform.start_broker()
    platform.assign(spec(17), spec(18))
    platform.wait_for(18, "running", 60)
    assert platform.replica(17)["pid"] == before["pid"]


def test_what_is_not_the_platforms_word_changes_nothing(platform: Platform, start: Start) -> None:
    agent = start()
    old = platform.signed(spec(66), generation=1)
    platform.generation = 1
    platform.assign(spec(17))
    before = platform.wait_for(17, "running")
    now = int(time.time())
    refused = [
        platform.signed(generation=99, key=Ed25519PrivateKey.generate()),
        platform.signed(generation=99, aud="node:another"),
        platform.signed(generation=99, iat=now - 300, exp=now - 240),
        platform.signed(generation=99, replicas=[{"id": 1}]),
        old,
        "nonsense",
    ]
    for message in refused:
        platform.send(message)
    assert eventually(lambda: agent.log.read_text().count("Refused an assignment") == len(refused))
    assert [one["pid"] for one in platform.report()["replicas"]] == [before["pid"]]
    assert platform.report()["generation"] == 2
    assert "key-of-17" not in agent.log.read_text()


def test_an_argument_that_is_not_on_the_list_is_told_in_words(platform: Platform, start: Start) -> None:
    start()
    platform.assign(spec(17, arguments={"--middleware": "os.system"}), spec(18))
    ended = platform.wait_for(17, "exited")
    assert ended["fault"] == "bad_argument"
    assert ended["words"] == "--middleware is not one of the engine's arguments that a pool may set."
    platform.wait_for(18, "running")


def test_what_the_machine_lacks_is_told_in_words(platform: Platform, start: Start) -> None:
    start(f"--vllm={sys.prefix}/nothing")
    here = {"source": "path", "location": str(platform.folder)}
    platform.assign(
        spec(17, engine="vllm", weights={"source": "path", "location": "/nowhere/model"}),
        spec(18, engine="vllm", weights=here),
        spec(19, engine="vllm", weights={"source": "hugging_face", "location": "house/model"}),
    )
    assert platform.wait_for(17, "exited")["fault"] == "missing_weights"
    assert platform.wait_for(18, "exited")["fault"] == "not_installed"
    assert platform.wait_for(19, "exited")["fault"] == "not_installed"


def test_an_engine_that_never_answers_is_ended_in_the_time_of_its_pool(platform: Platform, start: Start) -> None:
    mute = platform.folder / "vllm"
    mute.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(300)\n")
    mute.chmod(0o700)
    start(f"--vllm={mute}")
    platform.assign(spec(17, engine="vllm", weights={"source": "path", "location": "/tmp"}, ready_within_s=2))
    ended = platform.wait_for(17, "exited")
    assert (ended["fault"], ended["words"]) == ("too_slow", "It did not answer within 2 seconds of its start.")


# An engine that prints what it is asked, as one that is configured badly would, and ends when it is told to.
TALKATIVE = """#!{python}
import argparse, http.server, os
found = argparse.ArgumentParser()
found.add_argument("--host")
found.add_argument("--port", type=int)
asked, _ = found.parse_known_args()
print("Loading \\x1b[32mweights\\x1b[0m of", os.getpid(), flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        text = self.rfile.read(int(self.headers["content-length"])).decode()
        print("RuntimeError: asked for", text, flush=True)
        if "end" in text:
            os._exit(1)
        self.do_GET()
http.server.HTTPServer((asked.host, asked.port), Handler).serve_forever()
"""


def test_I5_what_an_engine_prints_of_requests_does_not_leave_its_machine(platform: Platform, start: Start) -> None:
    talkative = platform.folder / "vllm"
    talkative.write_text(TALKATIVE.format(python=sys.executable))
    talkative.chmod(0o700)
    logs = platform.folder / "home" / "logs"
    logs.mkdir(parents=True)
    (logs / "17.log").write_text("an engine of the same number was asked for a secret\n")
    agent = start(f"--vllm={talkative}")
    platform.assign(spec(17, engine="vllm", weights={"source": "path", "location": "/tmp"}))
    running = platform.wait_for(17, "running")
    assert running["log"].startswith(f"Loading weights of {running['pid']}\n")
    said = [platform.report()]

    def say(prompt: str) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            urllib.request.urlopen(f"{running['url']}/v1/completions", prompt.encode(), timeout=5).close()
        assert eventually(lambda: prompt in (logs / "17.log").read_text())
        told = platform.report()["sequence"]
        assert eventually(lambda: platform.report()["sequence"] > told)
        said.append(platform.report())

    say("my secret")
    agent.kill()
    agent.start()
    say("my other secret")
    say("my secret's end")
    ended = platform.wait_for(17, "exited")
    assert (ended["fault"], ended["log"]) == ("crashed", "")
    assert "secret" not in json.dumps([running, *said, platform.report()])


def test_the_log_of_a_start_that_failed_is_told(platform: Platform, start: Start) -> None:
    broken = platform.folder / "vllm"
    broken.write_text(f"#!{sys.executable}\nprint('Reading'); raise SystemExit('ValueError: no such layer')\n")
    broken.chmod(0o700)
    start(f"--vllm={broken}")
    platform.assign(spec(17, engine="vllm", weights={"source": "path", "location": "/tmp"}))
    assert platform.wait_for(17, "exited")["log"] == "Reading\nValueError: no such layer"


def test_an_engine_sees_nothing_of_the_agents_secrets(platform: Platform, start: Start) -> None:
    start(BEFFROI_SECRET_KEY="x", HF_TOKEN="hf_secret", CUDA_MODULE_LOADING="LAZY", VLLM_SERVER_DEV_MODE="1")
    platform.assign(spec(17, gpus=[1]), spec(18, may_sleep=True))
    told = environment_of(platform.wait_for(17, "running")["pid"])
    assert not [name for name in told if name.startswith("BEFFROI") or name in ("HF_TOKEN", "VLLM_SERVER_DEV_MODE")]
    assert not [value for value in told.values() if platform.token in value or "valkey" in value]
    assert (told["CUDA_MODULE_LOADING"], told["CUDA_VISIBLE_DEVICES"]) == ("LAZY", "1")
    assert environment_of(platform.wait_for(18, "running")["pid"])["VLLM_SERVER_DEV_MODE"] == "1"


def environment_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return {name: value for name, _, value in (line.partition("=") for line in lines if line)}


def test_an_engine_sleeps_and_wakes_up_as_wished(platform: Platform, start: Start) -> None:
    agent = start("--simulated")
    platform.assign(spec(17, may_sleep=True, gpus=[0], gpu_memory_share=0.5))
    awake = platform.wait_for(17, "running")
    platform.assign(spec(17, may_sleep=True, sleeps=True, gpus=[0], gpu_memory_share=0.5))
    assert platform.wait_for(17, "asleep")["pid"] == awake["pid"]
    assert ask(awake, "key-of-17") == "503"
    assert eventually(lambda: platform.report()["gpus"][0]["used_mb"] == 0)
    agent.kill()
    agent.start()
    platform.assign(spec(17, may_sleep=True, gpus=[0], gpu_memory_share=0.5))
    assert platform.wait_for(17, "running")["pid"] == awake["pid"]
    assert ask(awake, "key-of-17") not in ("503", "401")


def test_simulated_gpus_fill_up_and_their_engines_end_with_the_agent(platform: Platform, start: Start) -> None:
    agent = start("--simulated", "3")
    told = spec(
        17, engine="vllm", weights={"source": "hugging_face", "location": "a/b"}, gpus=[2], gpu_memory_share=0.25
    )
    platform.assign(told)
    running = platform.wait_for(17, "running")
    assert eventually(lambda: [gpu["used_mb"] for gpu in platform.report()["gpus"]] == [0, 0, 20_480])
    assert platform.report()["is_simulated"] is True
    agent.stop()
    assert not runs(running["pid"])


def test_simulated_engines_that_were_killed_with_their_agent_begin_anew(platform: Platform, start: Start) -> None:
    agent = start("--simulated")
    platform.assign(spec(17), spec(18))
    killed, left = (platform.wait_for(number, "running") for number in (17, 18))
    agent.kill()
    os.kill(killed["pid"], signal.SIGKILL)
    assert eventually(lambda: not runs(killed["pid"]))
    agent.start()
    platform.assign(spec(17), spec(18))
    assert eventually(lambda: platform.wait_for(17, "running")["pid"] not in (0, killed["pid"]))
    assert platform.wait_for(18, "running")["pid"] == left["pid"]


def test_a_busy_engine_says_so(platform: Platform, start: Start) -> None:
    start()
    platform.assign(spec(17))
    url = platform.wait_for(17, "running")["url"]
    body = {"model": "demo/chat", "messages": [{"role": "user", "content": "Hi"}]}
    headers = {"content-type": "application/json", "authorization": "Bearer key-of-17"}
    slow = {**body, "stream": True, "max_tokens": 2000, "simulate": {"output_tokens": 2000, "tokens_per_second": 20}}
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(slow).encode(), headers)
    with urllib.request.urlopen(request, timeout=20):
        assert eventually(lambda: platform.replica(17)["running"] == 1)
    assert eventually(lambda: platform.replica(17)["running"] == 0)


def test_a_full_queue_of_reports_gets_no_more(platform: Platform, start: Start) -> None:
    with platform.broker() as client:
        client.lpush("beffroi.reports", *[b"{}"] * 1_001)
        agent = start()
        assert eventually(lambda: "takes no reports" in agent.log.read_text())
        assert client.llen("beffroi.reports") == 1_001


def test_two_agents_do_not_share_a_home(platform: Platform, start: Start) -> None:
    start()
    assert eventually(lambda: bool(platform.report()))
    second = start()
    assert second.process.wait(30) == 1
    assert "Another agent runs" in second.log.read_text()


def test_its_user_of_the_broker_can_do_no_more_than_it_needs(platform: Platform, start: Start) -> None:
    start()
    platform.assign(spec(17))
    platform.wait_for(17, "running")
    platform.assign()
    assert eventually(lambda: platform.report()["replicas"] == [])
    with platform.broker() as client:
        assert client.execute_command("ACL", "LOG") == []
        assert client.llen(QUEUE) == 0


def test_wherever_the_agent_is_killed_each_replica_has_one_engine(platform: Platform, start: Start) -> None:
    """It is killed again and again about when it begins the first of three engines, and finds what it began."""
    agent = start(TMPDIR=str(platform.folder))
    for round_ in range(1, 7):
        told = [spec(100 * round_ + number) for number in (1, 2, 3)]
        platform.assign(*told)
        first_begins = f"Replica {100 * round_ + 1} (demo): launch"
        assert eventually(partial(agent.has_logged, first_begins))
        time.sleep(0.02 * round_)
        agent.kill()
        agent.start()
    platform.send(platform.signed(*told))
    running = {platform.wait_for(spec["id"], "running")["pid"] for spec in told}
    assert eventually(lambda: engines_of(platform) == running), (engines_of(platform), running)


def engines_of(platform: Platform) -> set[int]:
    """The processes of engines that agents of this test began, known to them or not."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_engine = b"gateway.simulated_engine" in (process / "cmdline").read_bytes()
            is_ours = f"TMPDIR={platform.folder}".encode() in (process / "environ").read_bytes()
        except OSError:
            continue
        if is_engine and is_ours:
            found.add(int(process.name))
    return found
