"""One round with the product's own limits: gateway and PostgreSQL are killed together, the hold is gone within 60 s."""

import asyncio
import math
import os
import signal
import time
from collections.abc import Callable

from tests.crash.clients import lingering
from tests.crash.rules import Violation
from tests.crash.traffic import Traffic
from tests.crash.watch import Watch
from tests.crash.wellness import wait_until_well
from tests.crash.world import ARMED, World

SILENT_S, ALLOWED_S = 20.0, 60.0
CHECKPOINTED_S = 6.0


async def run(world: World, tell: Callable[[str], None]) -> list[Violation]:
    """In a world without changed limits. Answers what was wrong."""
    watch = Watch(world.journals, world.keeper, world.prices, SILENT_S)
    traffic = Traffic(world, watch, 0)
    await world.proxy.start()
    missing = await wait_until_well(world)
    if missing:
        return [Violation("comes back", f"at the product's limits: {missing}")]
    traffic.begin(ARMED, "real-limits", lingering(seconds=30))
    await asyncio.sleep(CHECKPOINTED_S)
    [gateway] = world.gateways_that_hold("real-limits")
    struck_at = time.time()
    watch.lost_at |= {life: struck_at for life, pid in world.keeper.pid_of_life.items() if pid == gateway}
    watch.troubles.append((struck_at - 1, math.inf))
    os.kill(gateway, signal.SIGKILL)
    os.kill(world.pids("postgres")[0], signal.SIGKILL)
    age = await _until_settled(world, struck_at)
    await traffic.stop()
    with await world.connect() as connection:
        found = await asyncio.to_thread(watch.look_last, connection)
    await world.proxy.stop()
    tell(f"at the product's limits: gateway and PostgreSQL killed together, the hold was gone after {age:.1f} s")
    if age > ALLOWED_S:
        found.append(Violation("I2 orphan", f"a hold stayed for {age:.1f} s"))
    if not watch.sums.records["gateway_lost"]:
        found.append(Violation("I2 (d)", "the request was not settled as that of a lost gateway"))
    if not watch.sums.charged["gateway_lost"]:
        found.append(Violation("I2 (d)", f"nothing was charged of a stream of {CHECKPOINTED_S:g} s"))
    for violation in found:
        tell(str(violation))
    return found


async def _until_settled(world: World, struck_at: float) -> float:
    """Seconds until nothing is held; what has passed when it takes far too long."""
    while (age := time.time() - struck_at) < 2 * ALLOWED_S:
        if await asyncio.to_thread(world.holds) == 0:
            return age
        await asyncio.sleep(0.2)
    return age
