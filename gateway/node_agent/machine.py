"""What this machine has: GPUs (NVML), processors, memory, disk, and the address that engines listen on."""

import os
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

SIMULATED_GPU_MB = 81_920
_MIB = 1024**2


class Gpu(msgspec.Struct, frozen=True):
    """One GPU; `index` is the one that CUDA counts by (PCI_BUS_ID), `used_mb` is by all programs."""

    index: int
    uuid: str
    name: str
    memory_mb: int
    used_mb: int


class Disk(msgspec.Struct, frozen=True):
    """Of the file system that the agent's home is on."""

    free_bytes: int
    total_bytes: int


class Nvml:
    """NVIDIA's management library, where there is one: no driver or no package means no GPUs."""

    def __init__(self) -> None:
        try:
            import pynvml
        except ImportError:
            self._library = None
            return
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            self._library = None
        else:
            self._library = pynvml

    def gpus(self) -> list[Gpu]:
        """Those that NVML sees now; one that does not answer is left out, so that nothing is placed on it."""
        if self._library is None:
            return []
        found = []
        for index in range(self._library.nvmlDeviceGetCount()):
            try:
                found.append(self._gpu(index))
            except self._library.NVMLError:
                continue
        return found

    def _gpu(self, index: int) -> Gpu:
        assert self._library is not None
        device = self._library.nvmlDeviceGetHandleByIndex(index)
        memory = self._library.nvmlDeviceGetMemoryInfo(device)
        return Gpu(
            index,
            _text(self._library.nvmlDeviceGetUUID(device)),
            _text(self._library.nvmlDeviceGetName(device)),
            memory.total // _MIB,
            memory.used // _MIB,
        )


def simulated_gpus(count: int, shares: Iterable[tuple[tuple[int, ...], float]]) -> list[Gpu]:
    """GPUs that do not exist. `shares`: which of them each running engine takes, and how much of them."""
    used = dict.fromkeys(range(count), 0)
    for indexes, share in shares:
        for index in used.keys() & set(indexes):
            used[index] += int(share * SIMULATED_GPU_MB)
    return [
        Gpu(index, f"simulated-{index}", "Simulated GPU", SIMULATED_GPU_MB, min(used_mb, SIMULATED_GPU_MB))
        for index, used_mb in used.items()
    ]


def cpus() -> int:
    """Processors that we may use."""
    return len(os.sched_getaffinity(0))


def memory_bytes() -> int:
    """Of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def disk(home: Path) -> Disk:
    """Free and in all."""
    usage = shutil.disk_usage(home)
    return Disk(usage.free, usage.total)


def address_towards(broker_url: str) -> str:
    """The address of ours that the way to the broker begins at; the loopback one for a broker on this machine."""
    parts = urlsplit(broker_url.partition(";")[0])
    if not parts.hostname or "socket" in parts.scheme:
        return "127.0.0.1"
    family, kind, protocol, _, place = socket.getaddrinfo(parts.hostname, parts.port or 1, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as asked:
        asked.connect(place)  # sends nothing: it only chooses a way
        return str(asked.getsockname()[0])


def _text(told: str | bytes) -> str:
    return told.decode() if isinstance(told, bytes) else told
