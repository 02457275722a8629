"""A process's counts as a file, so that whoever answers `/metrics` adds up all processes, also those that ended.

    3.lock   held by the process that has the third place
    3.json   its counts, and those of all who had the place before

Prometheus takes a counter that falls for one that began anew. So the sum over all places must not fall when a process
ends, and there must not be a file for every process that ever was: a new one takes a free place and goes on from there.
"""

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from gateway.relay.counts import Counts, Series, add_up

logger = logging.getLogger("beffroi.gateway")

MOST_PLACES = 64  # four times the processes of a machine: a restart has two of each for a while
EVERY_S = 1.0
FRESH_S = 10.0  # a process writes every second; one that stands still for so long has no gauges


class Told(msgspec.Struct):
    """A place's file. `at` in Unix seconds; `gauges` and `lines` (gauges with labels) are of the process that wrote it;
    `before`: the counts of those who had the place before.
    """

    at: float
    gauges: dict[str, float]
    before: msgspec.Raw
    own: list[Series]
    lines: list[Series] = []

    def series(self) -> Iterator[Series]:
        """The counts of all who had the place."""
        yield from msgspec.json.decode(self.before, type=list[Series])
        yield from self.own


class CountFile:
    """The place of this process, as long as it lives. Raises OSError where there is none, or no folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock, self._path = _take_place(folder)
        told = _read(self._path)
        self._before = msgspec.Raw(msgspec.json.encode(add_up(told.series()) if told is not None else []))

    def told(self, gauges: dict[str, float], lines: list[Series], counts: Counts) -> bytes:
        """What the file has to say now."""
        return msgspec.json.encode(Told(time.time(), gauges, self._before, list(counts.series()), lines))

    def write(self, told: bytes) -> None:
        """Replace the file: who reads it finds it whole. Raises OSError."""
        written = self._path.with_suffix(".new")
        written.write_bytes(told)
        written.replace(self._path)

    def close(self) -> None:
        """Leave the place."""
        os.close(self._lock)


async def tell_counts(
    folder: Path, counts: Counts, gauges: Callable[[], dict[str, float]], lines: Callable[[], list[Series]]
) -> None:
    """Write them every second until cancelled, then once more. Trouble with the disk is logged and stops nothing."""
    try:
        file = CountFile(folder)
    except OSError as error:
        logger.error("nothing is told at /metrics of this process: %s", error.strerror or error)
        return
    trouble: int | None = None
    try:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await asyncio.to_thread(
                    file.write, file.told(gauges(), lines(), counts)
                )  # a full disk must not stop a stream
                trouble = None
            except OSError as error:
                if error.errno != trouble:
                    logger.error("the counts for /metrics cannot be written: %s", error.strerror)
                trouble = error.errno
    finally:
        try:
            file.write(file.told({}, [], counts))
        except OSError:
            logger.warning("the last second's counts are lost")
        file.close()


def read_counts(folder: Path) -> list[Told]:
    """What the processes told, those that ended included. Empty where there is no such folder."""
    return [told for path in sorted(folder.glob("*.json")) if (told := _read(path)) is not None]


def _take_place(folder: Path) -> tuple[int, Path]:
    for number in range(1, MOST_PLACES + 1):
        lock = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return lock, folder / f"{number}.json"
    raise OSError(f"all {MOST_PLACES} places are taken")


def _read(path: Path) -> Told | None:
    """None for what is not there, and for what another release wrote in another form."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Told)
    except (OSError, msgspec.MsgspecError):
        return None
