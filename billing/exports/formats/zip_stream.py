"""A ZIP archive (PKWARE APPNOTE 6.3) written piece by piece, by whoever goes on from its state.

Deflate blocks that end with a full flush need nothing of what came before, so the pieces of a member can be compressed
by different processes and joined; its CRC is a number that the next one goes on from. Sizes follow the member's data
(general purpose bit 3), as they are not known before. All times are the format's first: equal content, equal bytes.
"""

import struct
import zlib
from typing import Any

from billing.exports.formats.table import FileTooLarge

_VERSION, _HAS_DESCRIPTOR, _DEFLATED, _FIRST_DAY = 20, 0x0008, 8, 0x0021
SIZE_MAX = 2**32 - 1  # bytes of a member and of the archive: without ZIP64


def begin() -> dict[str, Any]:
    """The state of an archive that has nothing yet."""
    return {"offset": 0, "members": [], "open": None}


def open_member(state: dict[str, Any], name: str) -> bytes:
    """Begin a member; what is added next is its content."""
    state["open"] = {"name": name, "at": state["offset"], "crc": 0, "size": 0, "packed": 0}
    header = struct.pack(
        "<IHHHHHIIIHH", 0x04034B50, _VERSION, _HAS_DESCRIPTOR, _DEFLATED, 0, _FIRST_DAY, 0, 0, 0, len(name), 0
    )
    return _counted(state, header + name.encode("ascii"))


def add(state: dict[str, Any], content: bytes) -> bytes:
    """More content of the open member. Raises FileTooLarge."""
    member = state["open"]
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)
    member["crc"] = zlib.crc32(content, member["crc"])
    member["size"] += len(content)
    return _packed(state, packed)


def close_member(state: dict[str, Any]) -> bytes:
    """End the open member."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    end = _packed(state, packer.flush(zlib.Z_FINISH))
    member = state["open"]
    state["members"].append(member)
    state["open"] = None
    return end + _counted(state, struct.pack("<IIII", 0x08074B50, member["crc"], member["packed"], member["size"]))


def member(state: dict[str, Any], name: str, content: str) -> bytes:
    """A whole member."""
    return open_member(state, name) + add(state, content.encode()) + close_member(state)


def finish(state: dict[str, Any]) -> bytes:
    """The directory of all members."""
    entries = b"".join(_entry(one) for one in state["members"])
    count = len(state["members"])
    return entries + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(entries), state["offset"], 0)


def _entry(one: dict[str, Any]) -> bytes:
    name: bytes = one["name"].encode("ascii")
    fields = (0x02014B50, _VERSION, _VERSION, _HAS_DESCRIPTOR, _DEFLATED, 0, _FIRST_DAY, one["crc"], one["packed"])
    more = (one["size"], len(name), 0, 0, 0, 0, 0, one["at"])
    return struct.pack("<IHHHHHHIIIHHHHHII", *fields, *more) + name


def _packed(state: dict[str, Any], packed: bytes) -> bytes:
    state["open"]["packed"] += len(packed)
    if max(state["open"]["size"], state["offset"]) > SIZE_MAX:
        raise FileTooLarge
    return _counted(state, packed)


def _counted(state: dict[str, Any], data: bytes) -> bytes:
    state["offset"] += len(data)
    return data
