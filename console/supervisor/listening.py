"""The sockets of an installation: its one port, and Django's behind it.

The supervisor holds them: gateways and Django come and go without a refused connection.
"""

import errno
import socket
from pathlib import Path

# Connections that wait while all gateways are busy or starting again; Linux cuts it to net.core.somaxconn (4096).
BACKLOG = 4096


class PortError(Exception):
    """The port cannot be had; the message says what to do."""


def reserve(host: str, port: int) -> socket.socket:
    """Bind the port without listening yet: until gateways run, a client is told so at once instead of waiting.

    Raises: PortError.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reserved = socket.socket(family, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        _refuse_if_somebody_listens(host, port, family)
        reserved.bind((host, port))
    except OSError as error:
        reserved.close()
        raise PortError(_explain(host, port, error)) from error
    return reserved


def listen(reserved: socket.socket) -> None:
    """Let clients in.

    Raises: PortError when another program took the port since it was reserved.
    """
    try:
        reserved.listen(BACKLOG)
    except OSError as error:
        host, port = reserved.getsockname()[:2]
        raise PortError(_explain(host, port, error)) from error


def listen_on_path(path: Path) -> socket.socket:
    """A Unix socket that takes connections from now on, instead of one that an earlier start left."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(BACKLOG)
    return listener


def _refuse_if_somebody_listens(host: str, port: int, family: socket.AddressFamily) -> None:
    """Binding 127.0.0.1 may succeed beside a listener on 0.0.0.0; which of the two a client meets is luck."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        if probe.connect_ex((host, port)) == 0:
            raise OSError(errno.EADDRINUSE, "Address already in use")


def _explain(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken by another program. Choose another one: BEFFROI_PORT={port + 1} make up"
    if error.errno == errno.EACCES:
        return f"Port {port} is reserved for the system. Choose one above 1023: BEFFROI_PORT=8000 make up"
    return f"{host}, port {port}, cannot be used: {error.strerror}. See BEFFROI_LISTEN in .env.example."
