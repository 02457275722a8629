"""The machine under the measurements: its cores, and what processes take of it."""

import os
import resource
import socket
import statistics
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Taken(NamedTuple):
    """By a group of processes: CPU seconds (user and system) since they started, resident bytes."""

    cpu_s: float
    rss_bytes: int


@dataclass(frozen=True)
class Cores:
    """Who runs where. The gateway has a core for itself; client and engine share one; the rest is everybody else's."""

    gateway: set[int]
    load: set[int]
    others: set[int]


def cores_for(processes: int, shared: Cores) -> set[int]:
    """Where several gateways run: on cores of their own as far as there are any beside the client's."""
    free = sorted(shared.gateway | (shared.others - shared.load))
    return set(free[:processes])


def cores() -> Cores:
    """The cores of this machine, shared out. With two, everybody else is on the client's."""
    mine = sorted(os.sched_getaffinity(0))
    first, second = mine[0], mine[min(1, len(mine) - 1)]
    return Cores({first}, {second}, set(mine[2:]) or {second})


@contextmanager
def on(where: set[int]) -> Iterator[None]:
    """Processes that are started inside run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, where)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(pid: int, where: set[int]) -> None:
    """Move a running process, all its threads, to these cores."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), where)


def allow_many_files() -> int:
    """Raise the number of files that we and our children may open to what the system permits; answers it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def taken(roots: Iterable[int]) -> Taken:
    """What these processes and all their descendants took, those that ended inside it included."""
    return taken_by({"": roots})[""]


def taken_by(groups: dict[str, Iterable[int]] | dict[str, list[int]]) -> dict[str, Taken]:
    """What each group of processes, with all their descendants, took."""
    found = {pid: stat for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if (stat := _stat(pid))}
    return {name: _sum(found, set(roots)) for name, roots in groups.items()}


class _Stat(NamedTuple):
    parent: int
    ticks: int
    pages: int


def _stat(pid: int) -> _Stat | None:
    """proc(5): fields 4, 14-17 (user and system time, own and of waited-for children) and 24."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = text.rpartition(b")")[2].split()
    return _Stat(int(fields[1]), sum(map(int, fields[11:15])), int(fields[21]))


def _sum(stats: dict[int, _Stat], roots: set[int]) -> Taken:
    inside = roots & stats.keys()
    while more := {pid for pid, stat in stats.items() if stat.parent in inside} - inside:
        inside |= more
    ticks, pages = sum(stats[pid].ticks for pid in inside), sum(stats[pid].pages for pid in inside)
    return Taken(ticks / TICKS, pages * PAGE)


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody uses just now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def description() -> str:
    """The machine in one line."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), "unknown CPU")
    memory = PAGE * os.sysconf("SC_PHYS_PAGES") / 1e9
    system = subprocess.run(["uname", "-sr"], capture_output=True, text=True).stdout.strip()
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GB, {system}"


def flush_s(folder: Path) -> float:
    """Seconds (median) that a write of 8 KB needs until it is on the disk, as a commit's does."""
    taken = []
    with (folder / "flushed").open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, 100 * 8192)
        for _ in range(100):
            began = time.perf_counter()
            file.write(bytes(8192))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def load_average() -> float:
    """Runnable processes over the last minute."""
    return os.getloadavg()[0]
