"""Weights from a mirror: an HTTPS folder of the house, with a manifest.json, that answers ranges (nginx does).

Each file is fetched in ranges into `NAME.part`, so whatever cuts us off costs one range, and takes its name once its
checksum is right. A range is a request of its own: the one way out (`identity/egress.py`) holds a whole answer.
"""

import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

from gateway.node_agent import manifests
from gateway.node_agent.manifests import File, Manifest
from gateway.node_agent.weights_fault import WeightsFault
from identity import egress

RANGE_BYTES = 32 * 1024 * 1024  # held in memory once
RANGE_SECONDS = 120.0  # a quarter of a megabyte a second: slower, and a model would take days
MANIFEST_BYTES_MAX = 4 * 1024 * 1024
ERROR_PAGE_BYTES = 64 * 1024  # what a mirror may say instead
TRIES = 6
"""How often a range is asked for, a little longer apart each time, before the mirror counts as away: half a minute."""


def manifest(location: str, sha256: str) -> Manifest:
    """The mirror's manifest.json. Raises WeightsFault."""
    return manifests.read(_get(f"{location.rstrip('/')}/{manifests.NAME}", {}, MANIFEST_BYTES_MAX)[1], sha256)


def fetch(location: str, folder: Path, listed: Manifest, tell: Callable[[int], None]) -> None:
    """Bring every file into the folder; those that are there already stay.

    tell: is called with the bytes that were added; what it raises ends the fetch
    Raises WeightsFault, and OSError where the disk refuses.
    """
    for file in listed.files:
        target = folder / file.path
        if target.exists():
            tell(file.bytes)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch_file(f"{location.rstrip('/')}/{quote(file.path)}", target, file, tell)


def _fetch_file(url: str, target: Path, file: File, tell: Callable[[int], None]) -> None:
    part = target.with_name(f"{target.name}.part")
    with part.open("ab") as opened:
        if opened.tell() > file.bytes:
            opened.truncate(0)
        tell(opened.tell())
        while (at := opened.tell()) < file.bytes:
            data = _range(url, at, min(file.bytes, at + RANGE_BYTES))
            opened.write(data)
            opened.flush()
            tell(len(data))
    try:
        manifests.check_file(part, file, lambda _: None)
    except WeightsFault:
        part.unlink()  # begun anew next time: what is wrong in it nobody knows
        raise
    part.replace(target)


def _range(url: str, begin: int, end: int) -> bytes:
    status, data = _get(url, {"Range": f"bytes={begin}-{end - 1}"}, end - begin)
    if status != HTTPStatus.PARTIAL_CONTENT and not (begin == 0 and len(data) == end):
        raise WeightsFault("missing_weights", "The mirror does not answer ranges.")
    if len(data) != end - begin:
        raise WeightsFault("missing_weights", "The mirror's file has another size than its manifest.json says.")
    return data


def _get(url: str, headers: dict[str, str], bytes_max: int) -> tuple[int, bytes]:
    """An answer with a success. What may pass is tried again. Raises WeightsFault."""
    trouble = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(2.0 ** (attempt - 1))
        try:
            answer = egress.fetch(
                "GET",
                url,
                headers=headers,
                allow_private=True,
                total_seconds=RANGE_SECONDS,
                response_bytes_max=max(bytes_max, ERROR_PAGE_BYTES),
            )
        except egress.AnswerTooLarge:
            raise WeightsFault("missing_weights", "The mirror answers with more than it was asked for.") from None
        except (egress.UrlRefused, egress.AddressRefused) as error:
            raise WeightsFault("missing_weights", f"The mirror's address cannot be used: {error}.") from None
        except egress.EgressError as error:
            trouble = str(error)
            continue
        if answer.status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            return answer.status, answer.body
        trouble = f"status {answer.status}"
        if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR and answer.status != HTTPStatus.TOO_MANY_REQUESTS:
            break
    raise WeightsFault("missing_weights", f"The mirror does not give {url.rpartition('/')[2]} ({trouble}).")
