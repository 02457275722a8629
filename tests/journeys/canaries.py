"""Words that nobody else says, and a search for them in every place where an installation could have written (I5)."""

import base64
import contextlib
import os
import secrets
import string
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.installation import Installation

# Every word begins with it: a file is looked through for this alone, and only where it is for each word.
ROOT = "".join(secrets.choice(string.ascii_lowercase) for _ in range(8))


@dataclass(frozen=True)
class Family:
    """Canaries that share a word, by which all of them are found; its four letters say what they stand for."""

    name: str

    def __post_init__(self) -> None:
        assert len(self.name) == 4  # one more letter than 16 would not fit where an address takes the id of a key

    @property
    def word(self) -> str:
        """What stands in each of them."""
        return ROOT + self.name

    def at(self, place: str) -> str:
        """A canary for a place that takes any text."""
        return f"{self.word}-é🙂-{place}"

    def plain(self, place: str) -> str:
        """A canary for a place that takes ASCII."""
        return f"{self.word}-{place}"

    def percent_encoded(self) -> str:
        """As a client may write it in an address."""
        return "".join(f"%{ord(letter):02X}" for letter in self.word)

    def json_escaped(self) -> str:
        """As a client may write it in JSON."""
        return "".join(f"\\u{ord(letter):04x}" for letter in self.word)


def forms_of(word: str) -> list[bytes]:
    """A word as it could have been written: by us, by a library, or by whoever sent it."""
    plain = word.encode()
    hexadecimal = plain.hex()
    return [
        plain,
        word.encode("utf-16-le"),
        word.encode("utf-16-be"),
        hexadecimal.encode(),
        hexadecimal.upper().encode(),
        "".join(f"%{byte:02X}" for byte in plain).encode(),
        "".join(f"\\u{byte:04x}" for byte in plain).encode(),
        *[_base64_inside(plain, skipped) for skipped in range(3)],
    ]


def _base64_inside(word: bytes, skipped: int) -> bytes:
    """What of the word's base64 does not depend on its neighbours, where so many bytes of a group came before it."""
    encoded = base64.b64encode(b"\0" * skipped + word)
    return encoded[4 if skipped else 0 : (skipped + len(word)) // 3 * 4]


Written = tuple[str, str, bytes]  # the kind of place, which of them, what is there


Hits = dict[str, list[str]]  # kind of place -> what was found there


def search(everything: Iterable[Written], families: Iterable[Family], secrets: Iterable[str]) -> "Found":
    """Look for the families in all their forms, and for secrets as they are."""
    found = Found(set(), {family: defaultdict(list) for family in families}, defaultdict(list))
    patterns = {family: forms_of(family.word) for family in found.hits}
    roots, texts = forms_of(ROOT), [secret.encode() for secret in secrets]
    for kind, where, data in everything:
        found.kinds.add(kind)
        found.secrets[kind] += [f"{where}: {_around(data, text)}" for text in texts if text in data]
        if any(root in data for root in roots):
            for family, forms in patterns.items():
                found.hits[family][kind] += [f"{where}: {_around(data, form)}" for form in forms if form in data]
    return found


@dataclass
class Found:
    """The kinds of place that there were; the hits of each family and of the secrets."""

    kinds: set[str]
    hits: dict[Family, Hits]
    secrets: Hits

    def of(self, family: Family) -> Hits:
        """Where a family was found."""
        return {kind: hits for kind, hits in self.hits[family].items() if hits}

    def of_secrets(self) -> Hits:
        """Where secrets were found."""
        return {kind: hits for kind, hits in self.secrets.items() if hits}


def _around(data: bytes, form: bytes) -> str:
    at = data.index(form)
    return repr(data[max(0, at - 80) : at + 80])


def files_of(installation: Installation, temporary: Path, since: float) -> Iterator[Written]:
    """Everything on disk: data, logs, what is temporary, cores, the system's own logs since then (Unix seconds)."""
    home = installation.home
    data = (home.folder / "postgres").resolve()
    for file in _files(home.folder, data, home.sockets):
        kind = "write-ahead log" if "pg_wal" in file.parts else "data files" if data in file.parents else "home"
        kind = "postgres log" if file.name.startswith("postgres.log") else "logs" if file.parent == home.logs else kind
        yield from _read(kind, file)
    yield from _read("terminal", installation.terminal)
    for file in _files(temporary):
        yield from _read("cores" if "core" in file.name else "temporary files", file)
    for folder in ("/var/log", "/run/log"):
        for file in _files(Path(folder)):
            if file.stat().st_mtime > since:
                yield from _read("the system's logs", file)


def cores(since: float) -> list[str]:
    """Core files where a process of ours may have left one: where it works, and where the kernel is told to."""
    pattern = Path(Path("/proc/sys/kernel/core_pattern").read_text().strip().split("%")[0])
    folders = {Path.cwd(), Path("/"), Path("/var/lib/systemd/coredump"), Path("/var/crash")}
    folders |= {pattern.parent} if pattern.is_absolute() else set()
    found = [file for folder in folders if folder.is_dir() for file in folder.glob("*core*") if file.is_file()]
    return [str(file) for file in found if file.stat().st_mtime > since]


def open_files_of(pids: Iterable[int]) -> Iterator[Written]:
    """Files without a name that processes have open: what was deleted is still on the disk. And shared memory."""
    shared = set()
    for pid in pids:
        for link in _listed(Path(f"/proc/{pid}/fd")):
            with contextlib.suppress(OSError):  # closed meanwhile
                target = os.readlink(link)
                if target.startswith("/") and target.endswith(" (deleted)") and link.is_file():
                    yield "deleted files", f"{pid}: {target}", link.read_bytes()
        with contextlib.suppress(OSError):
            maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
            shared |= {Path(line.split(maxsplit=5)[5]) for line in maps if " /dev/shm/" in line}
    for file in shared:
        yield from _read("shared memory", file)


def family_of(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children[int(stat.read_text().rpartition(")")[2].split()[1])].append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += children[one]
    return found


def _files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        for at, _, names in os.walk(folder):
            yield from (file for name in names if (file := Path(at) / name).is_file())


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _read(kind: str, file: Path) -> Iterator[Written]:
    try:
        yield kind, str(file), file.read_bytes()
    except OSError:  # a file of a server that is just gone
        return
