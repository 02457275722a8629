"""Whether everything that was struck is back: processes, PostgreSQL, both doors, pages."""

import asyncio
import time

import psycopg

from tests.crash.world import ARMED, STEADY, World

BACK_WITHIN_S = 40.0


async def wait_until_well(world: World) -> str:
    """Wait until nothing is missing; answers what still is after `BACK_WITHIN_S`, "" where all is well."""
    deadline = time.monotonic() + BACK_WITHIN_S
    while missing := await _missing(world):
        if time.monotonic() > deadline:
            return missing
        await asyncio.sleep(0.05)
    return ""


async def _missing(world: World) -> str:
    """The first thing that is not there, "" where all is."""
    for kind, group in world.kept.items():
        if any(kept.pid is None for kept in group):
            return f"no process: {kind}"
    if not await asyncio.to_thread(_answers, world):
        return "PostgreSQL does not answer"
    fenced = await asyncio.to_thread(world.living_and_fenced)
    if fenced:
        return f"gateways {fenced} are fenced and go on living"
    if not await asyncio.to_thread(world.all_began):
        return "a gateway has not begun"
    for door in (ARMED, STEADY):
        if await _status(world.doors[door].port, "/health/ready") != 200:
            return f"the {door} door is not ready"
    if world.has_pages and await _status(world.doors[STEADY].port, "/api/key", world.keys.rich) != 200:
        return "pages do not answer"
    return ""


def _answers(world: World) -> bool:
    try:
        psycopg.connect(world.owner_url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


async def _status(port: int, path: str, key: str = "") -> int:
    """The status of a GET; 0 where there is no answer."""
    credential = f"authorization: Bearer {key}\r\n" if key else ""
    try:
        async with asyncio.timeout(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{credential}\r\n".encode())
            first = await reader.readline()
            writer.close()
            return int(first.split(b" ")[1])
    except (OSError, TimeoutError, ValueError, IndexError):
        return 0
