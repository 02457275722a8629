"""The list of a model's files, with sizes and checksums, beside them as `manifest.json`; and whether they are so."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec

from gateway.node_agent.weights_fault import WeightsFault

NAME = "manifest.json"
_CHUNK_BYTES = 1024 * 1024


class File(msgspec.Struct, frozen=True):
    """One file, below the folder of the manifest."""

    path: str
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Manifest(msgspec.Struct, frozen=True):
    """All files of a model."""

    files: Annotated[tuple[File, ...], msgspec.Meta(min_length=1)]

    def total_bytes(self) -> int:
        """Of all files together."""
        return sum(file.bytes for file in self.files)


def read(data: bytes, sha256: str) -> Manifest:
    """What a manifest.json says.

    sha256: what the file itself has to have; "": any
    Raises WeightsFault, also where a path leads out of the folder.
    """
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise WeightsFault("checksum", "The manifest.json is another one than the pool names.")
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise WeightsFault("missing_weights", f"The manifest.json cannot be read: {error}.") from None
    for file in manifest.files:
        parts = file.path.split("/")
        if not file.path.isprintable() or "\\" in file.path or any(part in ("", ".", "..") for part in parts):
            raise WeightsFault("missing_weights", f"A path in the manifest.json leads elsewhere: {file.path!r}.")
    return manifest


def check(folder: Path, manifest: Manifest, tell: Callable[[int], None]) -> None:
    """Compare every file with the manifest. `tell`: bytes read since the last call. Raises WeightsFault."""
    for file in manifest.files:
        check_file(folder / file.path, file, tell)


def check_file(path: Path, file: File, tell: Callable[[int], None]) -> None:
    """Compare one file with its line. Raises WeightsFault."""
    try:
        if path.stat().st_size != file.bytes:
            raise WeightsFault("checksum", f"{file.path} has another size than the manifest.json says.")
        with path.open("rb") as opened:
            digest = hashlib.sha256()
            while chunk := opened.read(_CHUNK_BYTES):
                digest.update(chunk)
                tell(len(chunk))
    except OSError as error:
        raise WeightsFault("missing_weights", f"{file.path} cannot be read ({type(error).__name__}).") from None
    if digest.hexdigest() != file.sha256:
        raise WeightsFault("checksum", f"{file.path} has another checksum than the manifest.json says.")
