"""The other end of a connection that is gone without a word: its network died, its machine lost power (I8).

Left to itself the kernel sends again for a quarter of an hour, and where nothing is under way it never asks.
"""

import socket

PROBES = 3  # that go unanswered before the end


def expect_life(connection: socket.socket, gone_s: float) -> None:
    """End a TCP connection of which nothing is heard for so many seconds; a listening one passes it on to its clients.

    Where all is quiet the kernel asks, and any answer counts. Where something was sent, it has to be acknowledged in
    that time, and a window that is shut has to open (tcp(7), TCP_USER_TIMEOUT).
    """
    every = max(1, round(gone_s / PROBES))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, every)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, every)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(gone_s * 1000))
