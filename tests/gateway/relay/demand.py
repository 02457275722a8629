"""Clients that ask again and again, whatever they are told: demand of several times a limit."""

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Self

import uvloop

PAUSE_S = 0.04  # after a refusal
DEADLINE_S = 60


class Demand(threading.Thread):
    """One worker a port and place, each with a kept connection; a context manager. `asks`: request bytes by name."""

    def __init__(self, ports: Sequence[int], asks: dict[str, bytes], workers: int) -> None:
        super().__init__(daemon=True)
        self._ports, self._asks, self._workers = ports, asks, workers
        self._is_over = threading.Event()
        self.told: dict[str, Counter[int]] = {name: Counter() for name in asks}
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join(DEADLINE_S)

    def run(self) -> None:
        uvloop.run(self._ask_all())

    async def _ask_all(self) -> None:
        places = [(name, port) for name in self._asks for port in self._ports for _ in range(self._workers)]
        told = await asyncio.gather(*(self._ask(*place) for place in places), return_exceptions=True)
        self.failures += [repr(failure) for failure in told if failure is not None]

    async def _ask(self, name: str, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not self._is_over.is_set():
            writer.write(self._asks[name])
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            status = int(head[9:12])
            self.told[name][status] += 1
            if status != 200:
                await asyncio.sleep(PAUSE_S)
        writer.close()
