"""The log files of the processes: appended to by them, kept small by us."""

import shutil
from pathlib import Path

# Two files of 10 MB a process: weeks of a quiet installation, and a dozen of them still fit anywhere.
MAX_BYTES = 10 * 1024 * 1024


def keep_small(log: Path) -> None:
    """Move what a full log holds to `<name>.1` and empty it. Its writer goes on: it appends, wherever the end is."""
    if log.exists() and log.stat().st_size > MAX_BYTES:
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        with log.open("r+b") as file:
            file.truncate(0)


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, for a person who must find out why a process ended."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16 * 1024))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return "\n".join(f"    | {line[:300]}" for line in lines[-count:])
