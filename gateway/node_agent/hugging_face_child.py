"""Fetches a model from Hugging Face into a folder, and says how far it is. Run by the engine's own Python.

It belongs to another environment (that of vLLM, which has huggingface_hub), so it imports nothing of ours.
Arguments: repository, revision ("" for its main branch), folder. It prints a JSON object a line:
{"total": bytes} once, then {"fetched": bytes} until it ends, or {"fault": kind, "words": text} as its last.
"""

import contextlib
import errno
import hashlib
import json
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.utils import filter_repo_objects

SKIPPED = ["original/*", "*.pth", "*.msgpack", "*.h5", "*.onnx", "*.ot"]
SPARE_BYTES = 1024**3
PROGRESS_SECONDS = 2.0


def say(**members: object) -> None:
    print(json.dumps(members), flush=True)  # noqa: T201  its parent reads it


def listed(api: HfApi, repository: str, revision: str) -> tuple[str, list[Any]]:
    """The commit that the revision is, and the files that an engine needs, with their sizes and checksums."""
    info = api.model_info(repository, revision=revision or None, files_metadata=True)
    files = filter_repo_objects(info.siblings or [], ignore_patterns=SKIPPED, key=lambda file: file.rfilename)
    return str(info.sha), list(files)


def on_disk(folder: Path) -> int:
    """Bytes in the folder, unfinished files included."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # renamed meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total


def tell_until(done: threading.Event, folder: Path) -> None:
    while not done.wait(PROGRESS_SECONDS):
        say(fetched=on_disk(folder))


def wrong_file(folder: Path, files: list[Any]) -> str:
    """The first file whose checksum is not that of the repository; "": none is wrong."""
    for file in files:
        path = folder / file.rfilename
        if not path.is_file() or file.lfs is None:
            continue
        with path.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != file.lfs.sha256:
                return str(file.rfilename)
    return ""


def fetch(repository: str, revision: str, folder: Path) -> None:
    commit, files = listed(HfApi(), repository, revision)
    total = sum(file.size or 0 for file in files)
    say(total=total)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if total - on_disk(folder) + SPARE_BYTES > free:
        say(fault="no_disk", words=f"It needs {total // 1024**2:,} MB of disk; {free // 1024**2:,} MB are free.")
        return
    done = threading.Event()
    threading.Thread(target=tell_until, args=(done, folder), daemon=True).start()
    try:
        snapshot_download(repository, revision=commit, local_dir=folder, ignore_patterns=SKIPPED)
    finally:
        done.set()
    if wrong := wrong_file(folder, files):
        (folder / wrong).unlink()
        say(fault="checksum", words=f"{wrong} has another checksum than Hugging Face says.")


def main() -> None:
    repository, revision, folder = sys.argv[1:]
    try:
        fetch(repository, revision, Path(folder))
    except Exception as error:  # noqa: BLE001  its parent is told, whatever it was
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            say(fault="no_disk", words="The disk is full.")
        else:
            say(fault="missing_weights", words=f"Hugging Face does not give {repository} ({type(error).__name__}).")


if __name__ == "__main__":
    main()
