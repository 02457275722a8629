"""A real vLLM under a real agent: everything that the simulated engine stands in for elsewhere."""

import json
import os
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.node_agent import weights
from gateway.node_agent.assignments import Weights
from gateway.node_agent.engine_flags import ALLOWED
from gateway.node_agent.weights import Progress
from gateway.node_agent.weights_fault import WeightsFault
from tests.engine_contract import vllm_on_cpu
from tests.gateway.node_agent.conftest import Start
from tests.gateway.node_agent.mirror_server import line
from tests.gateway.node_agent.platform import Platform, eventually, runs, spec

pytestmark = [pytest.mark.real_engine, pytest.mark.timeout(900)]

PATIENCE = vllm_on_cpu.START_PATIENCE
ARGUMENTS = {"--dtype": "float32", "--enforce-eager": True, "--max-num-seqs": 4}
# What is set for the machine, not for a pool.
MACHINE = {
    name: value
    for name, value in vllm_on_cpu.environment().items()
    if name.startswith(("VLLM_", "OMP_", "ONEDNN_")) or name == "HF_HOME"
}


def real(number: int, folder: Path | None = None, **arguments: Any) -> dict[str, Any]:
    return spec(
        number,
        engine="vllm",
        weights={"source": "path", "location": str(folder or vllm_on_cpu.MODELS / "chat")},
        arguments=ARGUMENTS | {f"--{name.replace('_', '-')}": value for name, value in arguments.items()},
        ready_within_s=PATIENCE,
    )


def ask(replica: dict[str, Any], key: str) -> dict[str, Any]:
    body = json.dumps({"model": "demo/chat", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4})
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{replica['url']}/v1/chat/completions", body.encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        told: dict[str, Any] = json.load(answer)
        return told


def session_of(pid: int) -> list[int]:
    """The processes of an engine: vLLM has more than one."""
    listed = subprocess.run(["ps", "-o", "pid=", "-s", str(pid)], capture_output=True, text=True)
    return [int(one) for one in listed.stdout.split()]


def test_a_real_engine_starts_serves_is_adopted_rolled_and_told_when_it_dies(platform: Platform, start: Start) -> None:
    agent = start(f"--vllm={vllm_on_cpu.ENVIRONMENT}/bin/vllm", **MACHINE)
    platform.assign(real(17, max_model_len=1024))
    first = platform.wait_for(17, "running", PATIENCE)
    assert ask(first, "key-of-17")["usage"]["completion_tokens"] == 4
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(first, "another")
    assert len(session_of(first["pid"])) > 1

    agent.kill()
    assert ask(first, "key-of-17")["choices"]
    agent.start()
    platform.assign(real(17, max_model_len=1024), real(18, max_model_len=512))
    second = platform.wait_for(18, "running", PATIENCE)
    assert platform.replica(17)["pid"] == first["pid"]
    family = session_of(first["pid"])
    platform.assign(real(18, max_model_len=512))
    assert eventually(lambda: platform.replica(17) == {}, 60)
    assert not [pid for pid in family if runs(pid)]
    assert ask(second, "key-of-18")["usage"]["completion_tokens"] == 4

    family = session_of(second["pid"])
    os.kill(second["pid"], signal.SIGKILL)
    ended = platform.wait_for(18, "exited")
    assert (ended["fault"], ended["exit_code"]) == ("killed", -9)
    assert eventually(lambda: not [pid for pid in family if runs(pid)])


def test_what_a_real_engine_complains_of_is_told_in_words(platform: Platform, start: Start) -> None:
    start(f"--vllm={vllm_on_cpu.ENVIRONMENT}/bin/vllm", **MACHINE)
    (platform.folder / "empty").mkdir()
    platform.assign(
        real(17, max_model_len=10_000_000),
        real(18, platform.folder / "empty"),
        real(19, tool_call_parser="nonsense", enable_auto_tool_choice=True),
    )
    ended = {number: platform.wait_for(number, "exited", PATIENCE) for number in (17, 18, 19)}
    told = {number: (one["fault"], one["words"]) for number, one in ended.items()}
    assert told[17][0] == "bad_argument", told
    assert "max_model_len" in told[17][1]
    assert told[18][0] == "missing_weights", told
    assert told[19][0] == "bad_argument", told
    assert "nonsense" in told[19][1]


def test_vllm_knows_every_argument_that_a_pool_may_set() -> None:
    command = [str(vllm_on_cpu.ENVIRONMENT / "bin" / "vllm"), "serve", "--help=all"]
    told = subprocess.run(command, capture_output=True, text=True, env=vllm_on_cpu.environment(), timeout=200)
    known = set(re.findall(r"--[a-z0-9-]+", told.stdout))
    ours = {"--disable-uvicorn-access-log", "--disable-fastapi-docs", "--gpu-memory-utilization", "--enable-sleep-mode"}
    assert (ALLOWED.keys() | ours) - known == set()


FILES = {"config.json": b"{}", "model.safetensors": os.urandom(100_000), "original/weights.pth": b"x" * 10_000}
COMMIT = "a" * 40


@contextmanager
def hub(wrong: str = "") -> Iterator[str]:
    """Hugging Face as far as one small repository needs it; `wrong`: a file that comes with other contents."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            lines = [line(path, data) for path, data in FILES.items()]
            if self.path.startswith("/api/models/house/model/tree/"):
                tree = [{"type": "file", "path": one["path"], "size": one["bytes"], "oid": COMMIT} for one in lines]
                self._answer(json.dumps(tree).encode())
                return
            if self.path.startswith("/api/models/house/model"):
                siblings = [
                    {"rfilename": one["path"], "size": one["bytes"], "blobId": one["sha256"][:40], "lfs": lfs(one)}
                    for one in lines
                ]
                self._answer(json.dumps({"id": "house/model", "sha": COMMIT, "siblings": siblings}).encode())
                return
            data = FILES.get(self.path.partition(f"/resolve/{COMMIT}/")[2])
            if data is None:
                self.send_error(404)
                return
            path = self.path.partition(f"/resolve/{COMMIT}/")[2]
            self._answer(b"!" * len(data) if path == wrong else data, line(path, data)["sha256"])

        do_HEAD = do_GET  # noqa: N815  the library's name for it

        def _answer(self, data: bytes, etag: str = "") -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.send_header("content-type", "application/json")
            self.send_header("x-repo-commit", COMMIT)
            if etag:
                self.send_header("etag", f'"{etag}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, *said: object) -> None:
            pass

    def lfs(one: dict[str, Any]) -> dict[str, Any] | None:
        is_large = one["path"].endswith("safetensors")
        return {"size": one["bytes"], "sha256": one["sha256"], "pointerSize": 1} if is_large else None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def from_hub(url: str, store: Path, monkeypatch: pytest.MonkeyPatch, told: Weights) -> Path:
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("HF_HOME", str(store / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    return weights.fetch(told, store, vllm_on_cpu.ENVIRONMENT / "bin" / "python", Progress())


def test_the_engines_own_hugging_face_library_fetches_what_an_engine_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Weights("hugging_face", "house/model", "main")
    with hub() as url:
        folder = from_hub(url, tmp_path, monkeypatch, told)
        for path in ("config.json", "model.safetensors"):
            assert (folder / path).read_bytes() == FILES[path]
        assert not (folder / "original").exists()
        assert [(one.location, one.revision) for one in weights.on_disk(tmp_path)] == [("house/model", "main")]
        with pytest.raises(WeightsFault, match="does not give house/nothing"):
            from_hub(url, tmp_path, monkeypatch, Weights("hugging_face", "house/nothing"))


def test_a_file_of_hugging_face_with_another_checksum_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub(wrong="model.safetensors") as url, pytest.raises(WeightsFault, match="checksum") as caught:
        from_hub(url, tmp_path, monkeypatch, Weights("hugging_face", "house/model"))
    assert caught.value.fault.kind == "checksum"
    assert weights.on_disk(tmp_path) == []
