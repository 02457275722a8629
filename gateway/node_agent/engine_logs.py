"""What engines print: a file each, bounded, and of engines that are gone the last few.

The platform is told what an engine printed until it was ready. No request can have reached it by then, so no word of
one is in it (I5); of what it prints later nothing leaves the machine.
"""

import os
import re
import shutil
from pathlib import Path

LOG_BYTES_MAX = 10 * 1024 * 1024  # a file; there are two of each engine
LOGS_KEPT = 50  # files of engines that are gone
TAIL_BYTES = 64 * 1024
LINES_TOLD, LENGTH_TOLD = 200, 16 * 1024  # of one engine, the last ones
LENGTH_TOLD_OF_ALL = 64 * 1024  # the platform drops reports of 256 KiB, and quotes and signatures make them longer
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[^\n\x20-\x7e]")  # colours and progress bars


def begin(log: Path) -> None:
    """Put away what an engine of the same number printed before: of the new one's file all is told until it is ready.

    Raises OSError where that cannot be done.
    """
    for path in (aside(log), log):
        if path.exists():
            path.replace(path.with_name(f"{path.stat().st_mtime_ns}-{path.name}"))


def keep_small(log: Path) -> None:
    """Put a large log aside and begin it anew, under the engine that has it open.

    It appends, so it goes on at the new beginning. What it prints in between the two steps is lost: some lines a day.
    """
    try:
        if log.stat().st_size <= LOG_BYTES_MAX:
            return
        shutil.copyfile(log, aside(log))
        os.truncate(log, 0)
    except OSError:
        return  # a full disk: tried again at the next look


def aside(log: Path) -> Path:
    """Where the older lines are."""
    return log.with_name(f"{log.name}.1")


def tail(log: Path) -> str:
    """The last lines, also those from before it began anew."""
    text = b""
    for path in (log, aside(log)):
        if len(text) < TAIL_BYTES:
            text = _end_of(path, TAIL_BYTES - len(text)) + text
    return text.decode(errors="replace")


def told(log: Path, most: int = LENGTH_TOLD) -> str:
    """The last lines for the platform, at most `most` characters of plain ASCII: of a progress bar its last state."""
    lines = [line.rpartition("\r")[2] for line in tail(log).replace("\r\n", "\n").split("\n")]
    text = "\n".join(_CONTROLS.sub("", line).rstrip() for line in lines[-LINES_TOLD - 1 :]).strip("\n")
    return text if len(text) <= most else text[-most:].partition("\n")[2]


def prune(folder: Path, living: set[Path]) -> None:
    """Remove all but the newest logs of engines that are gone."""
    gone = [path for path in folder.iterdir() if path not in living and path not in {aside(log) for log in living}]
    gone.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in gone[LOGS_KEPT:]:
        path.unlink(missing_ok=True)


def _end_of(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as opened:
            opened.seek(max(0, path.stat().st_size - count))
            return opened.read(count)
    except OSError:
        return b""
