"""`python -m console.server --fd N --ready-fd M`: pages and the management API on a listening socket of our parent's.

With `--socket PATH` on one that it makes, where no parent holds any (in a container). uvicorn does the work. Two
processes may share a socket for a while, so that one replaces the other without a request that fails.
"""

import argparse
import asyncio
import os
import socket
from pathlib import Path

import uvicorn

from console.supervisor.listening import listen_on_path

# What was accepted when the stop came is read within this many seconds; uvicorn alone would close it unread.
READ_S = 0.3
# Bytes of what a page says on its socket: it has nothing to say.
WORDS_BYTES_MAX = 1024
# Pages that take longer than this many seconds are cut.
FINISH_S = 10


class Server(uvicorn.Server):
    """uvicorn's server, which says when it takes requests and closes nothing that was just accepted."""

    def __init__(self, config: uvicorn.Config, ready_fd: int | None) -> None:
        super().__init__(config)
        self._ready_fd = ready_fd

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; then a byte for the parent that waits for us."""
        await super().startup(sockets)
        if self._ready_fd is not None:
            os.write(self._ready_fd, b".")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, once the requests on connections of the last moment are read."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(READ_S)
        await super().shutdown(sockets)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m console.server", description="Pages and the management API.")
    listening = parser.add_mutually_exclusive_group(required=True)
    listening.add_argument("--fd", type=int, help="an inherited listening socket")
    listening.add_argument("--socket", type=Path, help="where to make a Unix socket")
    parser.add_argument("--ready-fd", type=int, help="gets a byte as soon as requests are taken")
    arguments = parser.parse_args()
    listener = listen_on_path(arguments.socket) if arguments.fd is None else socket.socket(fileno=arguments.fd)
    config = uvicorn.Config(
        "console.asgi:application",
        lifespan="off",
        log_config=None,  # Django's settings say how, and what not
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the gateway writes them, and our own code knows which to believe
        timeout_graceful_shutdown=FINISH_S,
        ws_max_size=WORDS_BYTES_MAX,
    )
    Server(config, arguments.ready_fd).run(sockets=[listener])


if __name__ == "__main__":
    main()
