"""The program, the flags and the environment of an engine. Pure, but for a look at which port is free."""

import os
import random
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.node_agent import engine_flags
from gateway.node_agent.assignments import Spec
from gateway.node_agent.weights_fault import WeightsFault

PORTS = range(21_000, 22_000)
"""Below those that the kernel gives to outgoing connections, and one range for the firewall's rule."""
_ROOT = Path(__file__).resolve().parent.parent.parent
_PASSED = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"})
_PASSED_PREFIXES = (
    *("CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "UCX_", "VLLM_", "HF_", "TRANSFORMERS_", "TORCH", "TRITON_"),
    *("OMP_", "ONEDNN_", "FLASHINFER_"),
)
_KEPT_BACK = frozenset({"VLLM_API_KEY", "VLLM_SERVER_DEV_MODE", "HF_TOKEN", "HF_TOKEN_PATH"})


@dataclass(frozen=True, slots=True)
class Engine:
    """What to execute, and with which environment."""

    argv: list[str]
    environment: dict[str, str]


def command(
    spec: Spec, *, address: str, port: int, model: Path, vllm: Path | None, ours: Mapping[str, str], is_simulated: bool
) -> Engine:
    """The engine of a replica.

    model: the folder of its weights; vllm: the program, None: there is none; ours: the agent's own environment
    Raises BadArgument, and WeightsFault where there is no vLLM.
    """
    environment = _environment(spec, ours)
    if is_simulated or spec.engine == "simulated":
        environment["PYTHONPATH"] = str(_ROOT)
        flags = engine_flags.simulated_flags(spec, address, port)
        return Engine([sys.executable, "-m", "gateway.simulated_engine", *flags], environment)
    flags = engine_flags.vllm_flags(spec, model, address, port)
    if vllm is None:
        raise WeightsFault("not_installed", "vLLM is not installed on this machine.")
    return Engine([str(vllm), "serve", *flags], environment)


def _environment(spec: Spec, ours: Mapping[str, str]) -> dict[str, str]:
    """Of ours what a machine's engines need, and nothing that is the agent's; nothing is fetched or reported by it."""
    passed = {
        name: value
        for name, value in ours.items()
        if (name in _PASSED or name.startswith(_PASSED_PREFIXES)) and name not in _KEPT_BACK
    }
    passed |= {
        "VLLM_API_KEY": spec.api_key,
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    if spec.gpus:
        passed |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, spec.gpus))}
    if spec.may_sleep:
        passed["VLLM_SERVER_DEV_MODE"] = "1"
    return passed


def free_port(address: str, taken: set[int]) -> int:
    """A port of the range that nobody listens on. Raises OSError where there is none, or no such address."""
    candidates = [port for port in PORTS if port not in taken]
    random.shuffle(candidates)
    refused = OSError("no port is free")
    for port in candidates:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((address, port))
            except OSError as error:
                refused = error
            else:
                return port
    raise refused


def python_beside(vllm: Path | None) -> Path | None:
    """The interpreter of the environment that vLLM is installed in."""
    python = vllm.resolve().with_name("python") if vllm else None
    return python if python is not None and os.access(python, os.X_OK) else None


def find_vllm(told: str) -> Path | None:
    """The program: where the operator says, else `.venv-engine` beside the code, else on PATH."""
    places = (
        [told]
        if told
        else [
            str(_ROOT / ".venv-engine" / "bin" / "vllm"),
            *(str(Path(folder) / "vllm") for folder in os.get_exec_path()),
        ]
    )
    return next((Path(place) for place in places if os.access(place, os.X_OK)), None)
