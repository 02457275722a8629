"""A model's weights on this machine: where they lie, and how they come here.

What is fetched lies in a folder of its own below the agent's home, with `complete.json` in it once all is there and
right. Nothing is removed by itself: operators know which model comes back tomorrow.
"""

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from gateway.node_agent import manifests, mirror
from gateway.node_agent.assignments import Weights
from gateway.node_agent.weights_fault import WeightsFault

COMPLETE = "complete.json"
LOCATION_LENGTH_MAX = 300  # what a report may say of one
SPARE_BYTES = 1024**3  # of the disk, left to logs and to the system
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)
_CHILD = Path(__file__).with_name("hugging_face_child.py")
# Of our environment, what that child needs: its way out and its credentials.
_CHILD_PREFIXES = ("HF_", "HUGGING_FACE_")
_CHILD_NAMES = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"}) | {
    name for proxy in ("http_proxy", "https_proxy", "no_proxy") for name in (proxy, proxy.upper())
}


class Cancelled(Exception):
    """The replica is not wanted any more."""


class OnDisk(msgspec.Struct, frozen=True):
    """A model that was fetched."""

    location: str
    revision: str
    bytes: int


class Progress:
    """How far a fetch is. `is_cancelled` may be set by another thread."""

    def __init__(self, total_bytes: int = 0) -> None:
        self.total_bytes, self.bytes, self.is_cancelled = total_bytes, 0, False

    @property
    def percent(self) -> int:
        """0 to 100; 0 while the size is unknown."""
        return min(100, self.bytes * 100 // self.total_bytes) if self.total_bytes else 0

    def add(self, count: int) -> None:
        """Bytes that were added. Raises Cancelled."""
        self.bytes += count
        if self.is_cancelled:
            raise Cancelled


def folder_of(weights: Weights, store: Path) -> Path:
    """Where they lie once they are here: a readable name, and a digest that keeps apart what reads alike."""
    if weights.source == "path":
        return Path(weights.location)
    whole = "\n".join((weights.source, weights.location, weights.revision, weights.sha256))
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", weights.location.rstrip("/").rpartition("//")[2])[-80:].strip("-.")
    return store / f"{readable}-{hashlib.sha256(whole.encode()).hexdigest()[:12]}"


def fetch(weights: Weights, store: Path, engine_python: Path | None, progress: Progress) -> Path:
    """Bring the weights here, unless they are, and say where they lie. Resumes what an earlier call began.

    engine_python: the interpreter beside vLLM, for Hugging Face; None: there is none
    Raises WeightsFault and Cancelled.
    """
    folder = folder_of(weights, store)
    if (folder / COMPLETE).exists():
        return folder
    try:
        match weights.source:
            case "path":
                _check_path(weights, folder, progress)
            case "mirror" | "hugging_face":
                with _alone_in(folder):
                    _bring(weights, folder, engine_python, progress)
            case "none":
                pass
    except OSError as error:
        raise _of_the_disk(error) from None
    return folder


def on_disk(store: Path) -> list[OnDisk]:
    """The models that were fetched whole."""
    found = []
    for complete in sorted(store.glob(f"*/{COMPLETE}")):
        try:
            found.append(msgspec.json.decode(complete.read_bytes(), type=OnDisk))
        except (OSError, msgspec.DecodeError):
            continue  # it is being removed, or is not ours
    return found


def _bring(weights: Weights, folder: Path, engine_python: Path | None, progress: Progress) -> None:
    if weights.source == "mirror":
        _fetch_mirror(weights, folder, progress)
    else:
        _fetch_hugging_face(weights, folder, engine_python, progress)
    told = OnDisk(weights.location[:LOCATION_LENGTH_MAX], weights.revision, progress.total_bytes or _bytes_in(folder))
    (folder / COMPLETE).write_bytes(msgspec.json.encode(told))


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One fetch at a time writes here: one that was given up may not have noticed yet."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _check_path(weights: Weights, folder: Path, progress: Progress) -> None:
    if not folder.is_absolute() or not folder.exists():
        raise WeightsFault("missing_weights", f"There is no {weights.location} on this machine.")
    if not weights.sha256:
        return
    try:
        listed = manifests.read((folder / manifests.NAME).read_bytes(), weights.sha256)
    except OSError:
        raise WeightsFault("checksum", f"{weights.location} has no manifest.json to compare it with.") from None
    progress.total_bytes = listed.total_bytes()
    manifests.check(folder, listed, progress.add)


def _fetch_mirror(weights: Weights, folder: Path, progress: Progress) -> None:
    if not weights.location.startswith("https://") and not weights.sha256:
        raise WeightsFault("missing_weights", "A mirror without https:// needs the checksum of its manifest.json.")
    listed = mirror.manifest(weights.location, weights.sha256)
    progress.total_bytes = listed.total_bytes()
    _check_room(folder, listed.total_bytes() - _bytes_in(folder))
    mirror.fetch(weights.location, folder, listed, progress.add)


def _fetch_hugging_face(weights: Weights, folder: Path, engine_python: Path | None, progress: Progress) -> None:
    if engine_python is None:
        raise WeightsFault("not_installed", "vLLM is not installed here, and with it what fetches from Hugging Face.")
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", weights.location) is None:
        raise WeightsFault("missing_weights", f"{weights.location[:100]!r} is no repository of Hugging Face.")
    _check_room(folder, weights.bytes - _bytes_in(folder))
    progress.total_bytes = weights.bytes
    argv = [str(engine_python), "-I", str(_CHILD), weights.location, weights.revision, str(folder)]
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=_child_environment(os.environ),
        start_new_session=True,
        preexec_fn=_die_with_us,  # noqa: PLW1509  it takes no lock
    ) as child:
        try:
            assert child.stdout is not None
            for line in child.stdout:
                _hear(line, progress)
        except BaseException:
            child.kill()
            raise
    if child.returncode != 0:
        raise WeightsFault("missing_weights", f"{weights.location} could not be fetched from Hugging Face.")


def _hear(line: bytes, progress: Progress) -> None:
    """What the child says. Raises WeightsFault and Cancelled."""
    said: Mapping[str, Any] = json.loads(line)
    if "fault" in said:
        raise WeightsFault(said["fault"], str(said["words"]))
    if "total" in said:
        progress.total_bytes = int(said["total"])
    if "fetched" in said:
        progress.add(int(said["fetched"]) - progress.bytes)


def _die_with_us() -> None:
    """Another fetch begins where this one was, and two would write one file."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _child_environment(ours: Mapping[str, str]) -> dict[str, str]:
    passed = {name: ours[name] for name in ours if name in _CHILD_NAMES or name.startswith(_CHILD_PREFIXES)}
    return passed | {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "DO_NOT_TRACK": "1"}


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > 0 and needed + SPARE_BYTES > free:
        needed_mb, free_mb = needed // 1024**2 + 1, free // 1024**2
        raise WeightsFault("no_disk", f"It needs {needed_mb:,} MB of disk; {free_mb:,} MB are free.")


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _of_the_disk(error: OSError) -> WeightsFault:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WeightsFault("no_disk", "The disk is full.")
    return WeightsFault("missing_weights", f"The weights cannot be written here ({type(error).__name__}).")
