"""Starts the engines that the contract is checked on, and says which tests are for the real one alone."""

import secrets
import signal
import time
from pathlib import Path
from typing import Protocol

import pytest

from console.supervisor.processes import python, spawn, stop
from tests.engine_contract import vllm_on_cpu
from tests.engine_contract.client import Endpoint

REAL = pytest.param("vllm", marks=pytest.mark.real_engine)
only_real = pytest.mark.parametrize("engine", [REAL], indirect=True, scope="session")
"""For what vLLM does and the gateway must know, but nobody needs the simulated engine to copy."""

SIMULATED_KINDS = {"chat": "chat", "embedding": "embedding", "reranker": "rerank"}
SIMULATED_WINDOW = 4096
SIMULATED_PATIENCE = 20.0
"""Seconds; it starts in a fraction of one."""


class Engine(Protocol):
    """Something OpenAI-compatible that serves three kinds of model."""

    def endpoint(self, kind: str) -> Endpoint:
        """Where `kind` ("chat", "embedding", "reranker") is served; started on first use."""
        ...

    def stop(self) -> None:
        """End whatever was started."""
        ...


class RealVllm:
    """One `vllm serve` for each kind that a test asks for."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._servers: dict[str, vllm_on_cpu.VllmServer] = {}

    def endpoint(self, kind: str) -> Endpoint:
        """See Engine. Raises EngineError when vLLM is not installed or does not start."""
        if kind not in self._servers:
            self._servers[kind] = vllm_on_cpu.start(kind, self._logs)
            self._servers[kind].wait_until_ready()
        server = self._servers[kind]
        return Endpoint(server.port, server.model, server.api_key, vllm_on_cpu.WINDOWS[kind])

    def stop(self) -> None:
        """See Engine."""
        for server in self._servers.values():
            server.stop()


class SimulatedEngine:
    """One `python -m gateway.simulated_engine` that serves all kinds, about as fast as the tiny model on a CPU."""

    def __init__(self, logs: Path) -> None:
        self._port, self._api_key = vllm_on_cpu.free_port(), secrets.token_hex(16)
        command = python(
            *("-m", "gateway.simulated_engine", f"--port={self._port}", f"--api-key={self._api_key}"),
            *(f"--model=tiny-{kind}={theirs}" for kind, theirs in SIMULATED_KINDS.items()),
            *(f"--max-model-len={SIMULATED_WINDOW}", "--tokens-per-second=500", "--first-token-ms=5"),
            "--cached-fraction=0.5",
        )
        log = logs / "simulated.log"
        self._process = spawn(command, vllm_on_cpu.environment(), log)
        deadline = time.monotonic() + SIMULATED_PATIENCE
        while not vllm_on_cpu.is_healthy(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise vllm_on_cpu.EngineError(f"the simulated engine does not answer:\n{vllm_on_cpu.tail(log)}")
            time.sleep(0.05)

    def endpoint(self, kind: str) -> Endpoint:
        """See Engine."""
        return Endpoint(self._port, f"tiny-{kind}", self._api_key, SIMULATED_WINDOW)

    def stop(self) -> None:
        """See Engine."""
        stop(self._process, signal.SIGTERM, 5)
