"""The PROXY protocol, version 2: a proxy tells whose connection it passes on. No I/O.

The rules are those of haproxy.org/download/3.2/doc/proxy-protocol.txt. Only a trusted proxy is listened to. Its
header cannot be mistaken for HTTP, so that it may be sent or left out.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
HEAD = 16  # signature, version and command, family, length of what follows
MOST = 4096  # with its extensions; no real one comes near
PROXY = 1  # the command; 0 is LOCAL, the proxy itself (a health check)
INET, INET6 = 1, 2


class BadPreface(Exception):
    """The signature is followed by what is no header of version 2."""


class Preface(NamedTuple):
    """`peer`: the client's address, "" where the header tells none; `size`: its bytes, 0 where there was none."""

    peer: str
    size: int


def read_preface(data: bytes) -> Preface | None:
    """What a connection begins with; None where more bytes are needed to tell. Raises BadPreface."""
    if not data.startswith(SIGNATURE):
        return None if SIGNATURE.startswith(data) else Preface("", 0)
    if len(data) < HEAD:
        return None
    version, command = data[12] >> 4, data[12] & 0xF
    size = HEAD + int.from_bytes(data[14:16], "big")
    if version != 2 or command > PROXY or size > MOST:
        raise BadPreface
    if len(data) < size:
        return None
    return Preface(_source(data[13] >> 4, data[HEAD:size]) if command == PROXY else "", size)


def _source(family: int, addresses: bytes) -> str:
    if family == INET and len(addresses) >= 12:
        return str(IPv4Address(addresses[:4]))
    if family == INET6 and len(addresses) >= 36:
        return str(IPv6Address(addresses[:16]))
    if family in (INET, INET6):
        raise BadPreface
    return ""
