"""Requests without end beside the rounds: what clients ask for all day, through both doors."""

import asyncio
import random

from tests.crash.clients import Transcript, Wish, any_wish, ask
from tests.crash.watch import Watch
from tests.crash.world import ARMED, STEADY, World

CLIENTS = 6
MOST_AT_ONCE = 60
LONGEST_PAUSE_S = 0.5


class Traffic:
    """Begins requests and keeps their transcripts. The same seed asks for the same things."""

    def __init__(self, world: World, watch: Watch, seed: int) -> None:
        self._world, self._watch = world, watch
        self._dice = random.Random(f"{seed}/traffic")
        self._under_way: set[asyncio.Task[None]] = set()
        self._clients: list[asyncio.Task[None]] = []
        self._numbers = 0

    def begin(self, door: str, label: str, wish: Wish | None = None, *, calm: bool = False) -> asyncio.Task[None]:
        """One request; `calm` ones go to the engine that nobody harms."""
        wish = wish or any_wish(self._dice)
        told = Transcript(label, door, wish)
        self._watch.transcripts[label] = told
        keys = self._world.keys
        key = keys.rich if calm else self._dice.choices((keys.rich, keys.counted, keys.poor), (5, 3, 1))[0]
        model = self._world.calm_model if calm else self._world.models[wish.endpoint]
        task = asyncio.create_task(ask(self._world.doors[door], key, model, told))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    def start(self) -> None:
        """Ask on and on."""
        self._clients = [asyncio.create_task(self._ask_on()) for _ in range(CLIENTS)]

    async def _ask_on(self) -> None:
        while True:
            if len(self._under_way) < MOST_AT_ONCE:
                self._numbers += 1
                door = self._dice.choices((ARMED, STEADY), (3, 2))[0]
                self.begin(door, f"t{self._numbers}")
            await asyncio.sleep(self._dice.uniform(0.05, LONGEST_PAUSE_S))

    async def stop(self) -> None:
        """Ask no more, and wait for what is under way: each client has its patience."""
        for client in self._clients:
            client.cancel()
        if self._under_way:
            await asyncio.wait(set(self._under_way))
