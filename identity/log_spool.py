"""Log lines on their way out of a process: a folder of files that is bounded, which all processes of a machine append
to and one of them reads. Nobody waits for anybody. Pure, as the relay logs too.

    000000000012.jsonl        a segment: lines of JSON. The highest number is the one that is written to.
    000000000004.20341.gone   there was no more room for the 20,341 lines of this one
    id                        which folder this is, for those who remember how far they read

A process opens the segment that is written to and appends to it, each line by one `write`, which the kernel keeps
whole. Whoever finds it full begins the next one and lets the oldest go. A segment that has a successor and rests for
some seconds gets no more lines: who looked at its size has written by then.
"""

import json
import logging
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from identity.log_words import exported

# 32 files of 1 MB: some 150,000 lines, which is weeks of a quiet installation and an hour of a very troubled one.
SEGMENT_BYTES = 1024 * 1024
SEGMENTS_MAX = 32
_GONE_MAX = 1_000  # how many notes of lost segments are kept: beyond, what is told to be lost is too little
_REST_SECONDS = 2.0
_SEGMENT = re.compile(r"([0-9]{12})\.jsonl")
_GONE = re.compile(r"([0-9]{12})\.([0-9]+)\.gone")
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class SpoolHandler(logging.Handler):
    """Appends each record to the spool, as it may leave the house. What cannot be written is counted and told later."""

    def __init__(self, *, folder: str | Path, process: str) -> None:
        super().__init__()
        self._folder, self._process = Path(folder), process
        self._descriptor: int | None = None
        self._number = 0
        self._lost = 0
        self._is_torn = False  # the last line was written in part

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises, and says nothing where it fails: a full disk must not end who logs."""
        try:
            if self._lost:
                self._tell_of_lost(record)
            self._append(exported(record, self._process))
        except Exception:  # noqa: BLE001  whatever it is, who logs goes on
            self._lost += 1
            self._let_go()

    def close(self) -> None:
        """Let go of the file."""
        self._let_go()
        super().close()

    def _tell_of_lost(self, record: logging.LogRecord) -> None:
        words = ("beffroi.logs", logging.WARNING, record.pathname, record.lineno)
        note = logging.LogRecord(*words, "%d lines could not be written", (self._lost,), None)
        self._append(exported(note, self._process))
        self._lost = 0

    def _append(self, line: dict[str, Any]) -> None:
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        data = b"\n" + data if self._is_torn else data
        written = os.write(self._current(), data)
        self._is_torn = written < len(data)
        if self._is_torn:
            raise OSError("the line was written in part")

    def _current(self) -> int:
        """The file that is written to, opened anew where it is full or was taken away."""
        if self._descriptor is not None:
            known = os.fstat(self._descriptor)
            if known.st_size < SEGMENT_BYTES and known.st_nlink:
                return self._descriptor
            self._let_go()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        last = max(_segments(self._folder), default=1)
        path = _path(self._folder, last)
        is_full = path.exists() and path.stat().st_size >= SEGMENT_BYTES
        self._descriptor = os.open(_path(self._folder, last + is_full), _FLAGS, 0o600)
        if is_full:
            _keep_bounded(self._folder)
        return self._descriptor

    def _let_go(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = None


@dataclass(frozen=True, slots=True)
class Position:
    """How far somebody read: a segment, its bytes, and how many lines those are. Segment 0: nothing yet."""

    segment: int = 0
    offset: int = 0
    lines: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """Lines, and the position after them. `dropped`: how many there were before them that are gone."""

    lines: list[dict[str, Any]]
    position: Position
    dropped: int = 0


def read(folder: Path, position: Position, *, lines_max: int, bytes_max: int) -> Reading:
    """The next lines; as many as fit, and what one segment has at most."""
    position, dropped = _found_again(folder, position)
    while position.segment:
        data = _bytes_at(folder, position, bytes_max)
        lines = data.splitlines(keepends=True)[:lines_max]
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        if lines:
            told = [line for line in map(_parsed, lines) if line is not None]
            read_to = position.offset + sum(map(len, lines))
            after = replace(position, offset=read_to, lines=position.lines + len(lines))
            return Reading(told, after, dropped + len(lines) - len(told))
        following = _following(folder, position.segment)
        if following is None:
            break
        dropped += bool(data)  # a line that a killed process began
        position = Position(following)
    return Reading([], position, dropped)


def bytes_behind(folder: Path, position: Position) -> int:
    """How much there is to be read after a position."""
    sizes = {number: _size(_path(folder, number)) for number in _segments(folder)}
    return sum(size for number, size in sizes.items() if number > position.segment) + max(
        sizes.get(position.segment, 0) - position.offset, 0
    )


def identity_of(folder: Path) -> uuid.UUID | None:
    """Which spool this is, whatever its path is called; None while there is none."""
    file = folder / "id"
    try:
        with suppress(FileExistsError), open(os.open(file, _FLAGS | os.O_EXCL, 0o600), "w", encoding="ascii") as new:
            new.write(str(uuid.uuid4()))
        return uuid.UUID(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _found_again(folder: Path, position: Position) -> tuple[Position, int]:
    """Where reading goes on, and how many lines are gone since."""
    segments = _segments(folder)
    if not segments or position.segment in segments:
        return position, 0
    first = next((number for number in segments if number > position.segment), segments[0])
    if not 0 < position.segment < first:  # nothing was read yet, or of another folder
        return Position(segments[0]), 0
    gone = {number: lines for number, lines in _gone(folder) if position.segment <= number < first}
    return Position(first), max(sum(gone.values()) - position.lines, 0)


def _following(folder: Path, segment: int) -> int | None:
    """The next segment, once nobody writes to this one any more."""
    later = next((number for number in _segments(folder) if number > segment), None)
    with suppress(OSError):
        if later is not None and time.time() - _path(folder, segment).stat().st_mtime >= _REST_SECONDS:
            return later
    return None


def _keep_bounded(folder: Path) -> None:
    """Let the oldest segments go, and note how many lines they had. Another process may be at it too."""
    for number in _segments(folder)[:-SEGMENTS_MAX]:
        path = _path(folder, number)
        with suppress(OSError):
            lines = path.read_bytes().count(b"\n")
            (folder / f"{number:012d}.{lines}.gone").touch(mode=0o600)
            path.unlink()
    for number, lines in sorted(_gone(folder))[:-_GONE_MAX]:
        with suppress(OSError):
            (folder / f"{number:012d}.{lines}.gone").unlink()


def _bytes_at(folder: Path, position: Position, count: int) -> bytes:
    try:
        with _path(folder, position.segment).open("rb") as file:
            file.seek(position.offset)
            return file.read(count)
    except OSError:
        return b""


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line of ours; None for a torn one."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) and told.get("type") == "log" else None


def _segments(folder: Path) -> list[int]:
    return sorted(int(found[1]) for found in _names(folder, _SEGMENT))


def _gone(folder: Path) -> list[tuple[int, int]]:
    return [(int(found[1]), int(found[2])) for found in _names(folder, _GONE)]


def _names(folder: Path, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    try:
        names = os.listdir(folder)
    except OSError:
        return
    yield from filter(None, map(pattern.fullmatch, names))


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:012d}.jsonl"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
