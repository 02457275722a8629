"""The ways in which a client leaves, and one that does: it reads what it likes of a stream, then is gone."""

import ctypes
import socket
import ssl
import struct
import time
from collections.abc import Callable

from tests.gateway.simulated_engine.process import DEADLINE

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_RETURN_NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)  # linux/filter.h: a program that keeps 0 bytes of each packet


def reset(connection: socket.socket) -> None:
    """RST: the process was killed, or does not care."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def close(connection: socket.socket) -> None:
    """FIN, and RST for whatever still comes; what it had not read makes it RST at once."""
    connection.close()


def half_close(connection: socket.socket) -> None:
    """FIN, while it could still read: counts as gone (docs/decisions/0001)."""
    connection.shutdown(socket.SHUT_WR)


def shut_down(connection: socket.socket) -> None:
    """Both directions, the descriptor stays."""
    connection.shutdown(socket.SHUT_RDWR)


def say_goodbye(connection: socket.socket) -> None:
    """TLS: close_notify and no FIN. Without TLS as good as a half-close."""
    if isinstance(connection, ssl.SSLSocket):
        connection.settimeout(DEADLINE)
        connection.unwrap()
    else:
        half_close(connection)


Leave = Callable[[socket.socket], None]
WAYS: tuple[Leave, ...] = (reset, close, half_close, shut_down, say_goodbye)


def vanish(connection: socket.socket) -> None:
    """Its network dies: its kernel drops every packet that comes, so that it acknowledges and answers nothing."""
    program = ctypes.create_string_buffer(_RETURN_NOTHING)
    attached = struct.pack("HxxxxxxP", 1, ctypes.addressof(program))
    connection.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)


def see_events(connection: socket.socket, events: int) -> bytes:
    """What has come once so many events have; over TCP it is still to be read, over TLS it was."""
    is_tls = isinstance(connection, ssl.SSLSocket)
    seen, deadline = b"", time.monotonic() + DEADLINE
    while seen.count(b"\ndata: ") < events or not seen.endswith(b"\n\n\r\n"):
        assert time.monotonic() < deadline, f"{events} events did not come: {seen[-500:]!r}"
        if is_tls:
            seen += connection.recv(65_536)
        else:
            seen = connection.recv(1 << 20, socket.MSG_PEEK)
            time.sleep(0.002)
    return seen
