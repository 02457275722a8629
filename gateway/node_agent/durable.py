"""Files that are there whole or not at all, whenever we are killed."""

import os
from pathlib import Path


def write_secret(path: Path, data: bytes) -> None:
    """Replace a file by one that only we may read, safely on disk when this returns."""
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
