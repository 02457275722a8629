"""Makes the virtual environment: `python3 console/supervisor/bootstrap.py requirements.txt`.

Runs before anything is installed, so it uses the standard library alone. It does nothing when the files that say what
to install have not changed since; killed half-way, it starts from an empty environment the next time.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
# What is installed, by the hash of what says so; absent while an installation is under way or was cut.
STAMP = VENV / "beffroi-installed"
UNFINISHED = VENV / "beffroi-unfinished"
OLDEST_PYTHON = (3, 11)


class BootstrapError(Exception):
    """The environment cannot be made; the message says what to do."""


def main(requirements: str) -> int:
    """Make sure that what the file asks for is installed. Returns: the exit status."""
    try:
        check_python()
        with one_at_a_time() as lock:
            wanted = fingerprint(ROOT / requirements)
            if wanted not in installed():
                install(requirements, wanted, lock)
    except BootstrapError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The next start begins the installation again.", file=sys.stderr)
        return 130
    return 0


def check_python() -> None:
    """Raises: BootstrapError when this Python is too old, or Debian's without its `venv` part."""
    if sys.version_info < OLDEST_PYTHON:
        raise BootstrapError(
            f"Beffroi needs Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer; this is {sys.version.split()[0]}. "
            "With a newer one beside it: make PYTHON=python3.12 up"
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise BootstrapError(
            "This Python cannot make virtual environments. On Debian and Ubuntu: sudo apt install python3-venv"
        ) from error


@contextmanager
def one_at_a_time() -> Iterator[int]:
    """Wait for another start that installs into the same folder, or for the pip that a killed one left at work.

    Gives the lock's descriptor: whoever inherits it keeps the lock.
    """
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("Waiting for another installation into .venv to end ...", flush=True)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(folder)


def fingerprint(requirements: Path) -> str:
    """The hash of everything that decides what gets installed: the file, those it names, this Python."""
    digest = hashlib.sha256(f"{requirements.name} {sys.version}".encode())
    waiting = [requirements]
    while waiting:
        file = waiting.pop()
        text = file.read_text(encoding="utf-8")
        digest.update(text.encode())
        waiting += [file.parent / name for name in re.findall(r"^-[rc] +(\S+)", text, re.MULTILINE)]
    return digest.hexdigest()


def installed() -> list[str]:
    """The fingerprints of what is installed in full."""
    return STAMP.read_text().split() if STAMP.exists() and not UNFINISHED.exists() else []


def still_installed() -> list[str]:
    """The part of `installed` that the files of today still ask for: the other may be overwritten now."""
    today = [fingerprint(file) for file in ROOT.glob("requirements*.txt")]
    return [known for known in installed() if known in today]


def install(requirements: str, wanted: str, lock: int) -> None:
    """Install what the file asks for, into a new environment where there is none or an unfinished one."""
    began = time.monotonic()
    still_true = still_installed()
    if UNFINISHED.exists():
        print("The last installation was cut short: starting it again.", flush=True)
        shutil.rmtree(VENV)
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    if not (VENV / "bin/python").exists():
        print("Making a virtual environment in .venv ...", flush=True)
        run([sys.executable, "-m", "venv", str(VENV)])
    print(f"Installing what {requirements} asks for (the first time takes a minute or two) ...", flush=True)
    pip(requirements, lock)
    STAMP.write_text("\n".join([*still_true, wanted]) + "\n")
    UNFINISHED.unlink()
    print(f"Installed ({time.monotonic() - began:.0f} s).", flush=True)


def pip(requirements: str, lock: int) -> None:
    """Run pip and say every few packages how far it is. Raises: BootstrapError with pip's last lines."""
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "-r", requirements]
    command = [str(VENV / "bin/python"), "-m", "pip", "install", *options]
    lines: list[str] = []
    found = 0
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=ROOT, pass_fds=[lock], **pipes) as process:
        for line in process.stdout or []:
            lines = [*lines[-20:], line.rstrip()]
            found += line.startswith("Collecting ")
            if line.startswith("Collecting ") and found % 10 == 0:
                print(f"  {found} packages found, the last one {line.split()[1]}", flush=True)
            if line.startswith("Installing collected packages"):
                print("  all downloaded; unpacking", flush=True)
    if process.returncode != 0:
        raise BootstrapError("\n".join(["pip could not install everything. Its last words:", *lines]))


def run(command: list[str]) -> None:
    """Run a command that says nothing unless it fails. Raises: BootstrapError with what it said."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise BootstrapError(f"`{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
