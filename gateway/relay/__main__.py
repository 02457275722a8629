"""`python -m gateway.relay --fd N`: one gateway process on a listening socket of its parent (or `--host`, `--port`).

uvicorn gives the process: sockets, TLS, signals, draining. The HTTP is ours (`client.py`).
"""

import argparse
import asyncio
import ctypes
import functools
import gc
import logging
import os
import resource
import socket
import sys
from typing import Any

import uvicorn
import uvloop

from gateway.relay.client import ClientConnection
from gateway.relay.config import config_from_environment
from gateway.relay.failures import log_uncaught
from gateway.relay.gateway import Gateway
from gateway.relay.limits import MIB
from gateway.relay.liveness import expect_life
from gateway.relay.log_handlers import log_handlers
from identity.core_dumps import forbid_core_dumps

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # mallopt(3)


def main() -> None:
    """Run until SIGTERM, SIGINT or fenced."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, handlers=log_handlers(os.environ))
    try:
        config = config_from_environment()
    except ValueError as error:
        sys.exit(f"The gateway cannot start: {error}")
    forbid_core_dumps()
    _raise_file_limit()
    _keep_freed_memory()
    gc.set_threshold(50_000, 20, 50)  # requests make few cycles; the default collects at every few
    gc.freeze()  # what was imported stays: every full collection looked through it, 17 ms in which no stream went on
    uvloop.run(serve(Gateway(config), arguments))


def _raise_file_limit() -> None:
    """Open as many files as the system lets us: a shell's 1,024 are 500 streams, each with its engine's connection."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))


def _keep_freed_memory() -> None:
    """Let the C library keep what bodies leave behind, 64 MiB at most: mapping it anew costs ten copies of a body."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return  # not glibc
    mallopt(M_MMAP_THRESHOLD, 32 * MIB)
    mallopt(M_TRIM_THRESHOLD, 64 * MIB)


async def serve(gateway: Gateway, arguments: argparse.Namespace) -> None:
    """Serve on the given socket, then drain, settle and end."""
    config = uvicorn.Config(
        app=_no_app,
        lifespan="off",
        http=functools.partial(_connection, gateway),  # type: ignore[arg-type]  # uvicorn calls it, no more
        ws="none",
        loop="none",
        log_config=None,
        access_log=False,
        backlog=4096,
        timeout_graceful_shutdown=int(gateway.limits.drain_s),
        ssl_certfile=arguments.tls_certificate,
        ssl_keyfile=arguments.tls_key,
    )
    server = _Server(config, gateway, arguments.ready_fd)
    asyncio.get_running_loop().set_exception_handler(log_uncaught)
    await gateway.start()
    await gateway.wait_until_ready()
    watch = asyncio.create_task(_stop_when_fenced(gateway, server))
    try:
        await server.serve(sockets=[_listening_socket(arguments, gateway.limits.gone_s)])
    finally:
        watch.cancel()
        await gateway.close()


class _Server(uvicorn.Server):
    """uvicorn's server, which tells its parent when it serves and the gateway before it drains."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, ready_fd: int | None) -> None:
        super().__init__(config)
        self._gateway, self._ready_fd = gateway, ready_fd

    async def main_loop(self) -> None:
        telling = asyncio.create_task(self._tell_when_ready())
        await super().main_loop()
        telling.cancel()

    async def _tell_when_ready(self) -> None:
        while self._gateway.trouble:
            await self._gateway.wait_until_ready()
        if self._ready_fd is not None:
            os.write(self._ready_fd, b".")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gateway.is_draining = True
        await super().shutdown(sockets)
        await self._gateway.cut()
        for connection in list(self._gateway.connections):
            connection.cut()
        await self._gateway.close()  # here, as uvicorn then ends the process by the signal's own action


async def _stop_when_fenced(gateway: Gateway, server: uvicorn.Server) -> None:
    await gateway.stop.wait()
    server.should_exit = True


def _connection(gateway: Gateway, server_state: Any, **_: object) -> ClientConnection:
    return ClientConnection(gateway, server_state.connections)


async def _no_app(scope: object, receive: object, send: object) -> None:
    """uvicorn asks for an application; no request reaches it."""


def _listening_socket(arguments: argparse.Namespace, gone_s: float) -> socket.socket:
    if arguments.fd is not None:
        listening = socket.socket(fileno=os.dup(arguments.fd))
    else:
        listening = socket.create_server((arguments.host, arguments.port), backlog=4096, reuse_port=True)
    listening.settimeout(0)
    expect_life(listening, gone_s)
    return listening


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gateway.relay", description="One gateway process.")
    parser.add_argument("--fd", type=int, help="an inherited listening socket")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--ready-fd", type=int, help="gets a byte as soon as requests can be served")
    parser.add_argument("--tls-certificate", help="PEM file of the certificate chain")
    parser.add_argument("--tls-key", help="PEM file of its key")
    return parser.parse_args()


if __name__ == "__main__":
    main()
