"""A server that does with a connection what a test wants."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Handler = Callable[[socket.socket], None]


class Server:
    """A listening socket on 127.0.0.1 that hands each connection to a handler and keeps what was asked."""

    def __init__(self, handle: Handler, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[bytes] = []
        self._handle, self._tls = handle, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._tls:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                self.asked.append(read_request(connection))
                self._handle(connection)
            except OSError:
                pass  # the client was right to leave
            finally:
                connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=10)


def read_request(connection: socket.socket) -> bytes:
    request = connection.recv(65_536)
    while b"\r\n\r\n" not in request:
        request += connection.recv(65_536) or b"\r\n\r\n"
    head, _, body = request.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


@contextmanager
def serving(handle: Handler | bytes, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    def answer(connection: socket.socket) -> None:
        if isinstance(handle, bytes):
            connection.sendall(handle)
        else:
            handle(connection)

    server = Server(answer, tls)
    try:
        yield server
    finally:
        server.close()


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65_536)


def chunked_endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"ffff\r\n" + b"x" * 65_535 + b"\r\n")
