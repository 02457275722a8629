"""What routing is worth, and what it costs: `python -m bench.routing [fleet] [cpu]`; tables for bench/NOTES.md.

fleet   a model by discrete events: 12 engines with a prefix cache each, 4 gateway processes that know of each other's
        requests nothing, and five worlds of clients. The choice is the gateway's own code; engines and time are not.
cpu     CPU a request that the choice costs, by the size of the prompt

An engine reads prompts one after another (`READS` tokens/s, less the more it writes), skips what is in its cache, and
writes all answers at once, each slower the more there are. Its cache keeps what was used last, in blocks of 64 tokens.
Four bytes are a token.
"""

import argparse
import heapq
import random
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.scale import row, table
from gateway.relay.affinity import Affinity, Shares, rendezvous, within_bound
from gateway.relay.prefixes import LEAST, Beginning
from gateway.relay.routing import Replica, least_busy

ENGINES, GATEWAYS = 12, 4
READS = 8_000  # tokens/s: a model of 8 to 30 thousand million weights on one GPU
WRITES_S = 0.012  # a token, alone
CROWD = 32  # answers at once that halve the pace
CACHED = 400_000  # tokens that an engine's cache holds
BLOCK = 256  # bytes
SECONDS, WARM_S = 240.0, 60.0
MODEL = 1


class World(NamedTuple):
    """Clients: how many applications of each kind, and how many of its conversations begin a second.

    chat    3 KB of instructions; 1 to 10 questions, 20 s apart
    agent   40 KB of instructions and tools; 8 to 30 steps, 2 s apart
    reader  a document of 20 to 60 KB each time; 3 to 20 questions that do not know of each other, 8 s apart
    """

    chats: int
    agents: int
    chat: float
    agent: float
    reader: float


WORLDS = {
    "10 applications, 12 engines half busy": World(6, 4, 3.0, 0.35, 0.25),
    "the same, a third more": World(6, 4, 4.0, 0.47, 0.33),
    "60 small applications": World(40, 20, 3.0, 0.35, 0.25),
    "one agent makes most requests": World(1, 1, 0.6, 0.7, 0.05),
    "documents": World(1, 1, 0.3, 0.04, 1.0),
}


@dataclass(slots=True)
class Conversation:
    """What was said, as the bytes of `messages` without their end; how long the client thinks, how much it says."""

    salt: bytes
    dice: random.Random
    said: bytes
    left: int
    pause_s: float
    asks: tuple[int, int]

    def says(self, role: str, size: int) -> None:
        """One more message."""
        comma = b"," if len(self.said) > 1 else b""
        self.said += b'%b{"role":"%b","content":"%b"}' % (comma, role.encode(), text(self.dice, size))


def _dice(seed: int) -> random.Random:
    """The same clients for every choice, and in every run."""
    return random.Random(seed)  # noqa: S311  # no secret


def text(dice: random.Random, size: int) -> bytes:
    """So many bytes that nobody said before."""
    return dice.randbytes(size // 2 + 1).hex()[:size].encode()


@dataclass(slots=True)
class Engine:
    """One engine: its cache, when it has read what it was sent, how many answers it writes."""

    cache: "OrderedDict[int, None]" = field(default_factory=OrderedDict)
    reads_until: float = 0.0
    writing: int = 0

    def first_token(self, prompt: bytes, now: float) -> tuple[float, int]:
        """When a prompt's first token comes, and how many of its bytes were in the cache."""
        known = self._read(prompt)
        reading = (len(prompt) - known) / 4 / READS * (1 + self.writing / (2 * CROWD))
        self.reads_until = max(now, self.reads_until) + reading
        return self.reads_until + 0.02, known

    def _read(self, prompt: bytes) -> int:
        blocks, digest = [], 0
        for start in range(0, len(prompt) - BLOCK + 1, BLOCK):
            digest = hash((digest, prompt[start : start + BLOCK]))
            blocks.append(digest)
        known = next((place for place, block in enumerate(blocks) if block not in self.cache), len(blocks))
        for block in reversed(blocks):
            self.cache[block] = None
            self.cache.move_to_end(block)
        while len(self.cache) > CACHED * 4 // BLOCK:
            self.cache.popitem(last=False)
        return known * BLOCK


class Gateway:
    """A process that chooses: it knows its own requests only."""

    def __init__(self) -> None:
        self.affinity, self.shares, self.turns = Affinity(65_536), Shares(), 0
        self.replicas = [
            Replica(
                replica_id=number, name="", url="http://127.0.0.1:1", api_key="", served_name="", pool="", node="",
                site="",
            )
            for number in range(1, ENGINES + 1)
        ]  # fmt: skip


Choose = Callable[[Gateway, Beginning], Replica]


def round_robin(gateway: Gateway, _: Beginning) -> Replica:
    """One after the other."""
    gateway.turns += 1
    return gateway.replicas[gateway.turns % ENGINES]


def least_outstanding(gateway: Gateway, _: Beginning) -> Replica:
    """Whoever has the fewest requests of this process: what the gateway did before."""
    replica = least_busy(gateway.replicas, 0.0)
    assert replica is not None
    return replica


def by_application(gateway: Gateway, beginning: Beginning) -> Replica:
    """Rendezvous hashing of what an application begins with, and nothing else."""
    return rendezvous(gateway.replicas, within_bound(gateway.replicas), beginning, 1)


def by_conversation(gateway: Gateway, beginning: Beginning) -> Replica:
    """Rendezvous hashing up to the end of the first question, and nothing else."""
    return rendezvous(gateway.replicas, within_bound(gateway.replicas), beginning, ENGINES)


def affinity(gateway: Gateway, beginning: Beginning) -> Replica:
    """What the gateway does."""
    if len(beginning.text) < LEAST:
        return least_outstanding(gateway, beginning)
    return gateway.affinity.choose(MODEL, gateway.shares, gateway.replicas, beginning)


CHOICES: Mapping[str, Choose] = {
    "round robin": round_robin,
    "least outstanding": least_outstanding,
    "rendezvous by application": by_application,
    "rendezvous by conversation": by_conversation,
    "affinity": affinity,
}


def conversations(world: World, dice: random.Random) -> Iterator[tuple[float, Conversation]]:
    """When each begins, and with what."""
    chats = [(text(dice, 32), text(dice, 3_000)) for _ in range(world.chats)]
    agents = [(text(dice, 32), text(dice, 40_000)) for _ in range(world.agents)]
    for began in _arrivals(dice, world.chat):
        salt, instructions = dice.choice(chats)
        yield began, _conversation(salt, instructions, dice, dice.randint(1, 10), 20.0, (200, 900))
    for began in _arrivals(dice, world.agent):
        salt, instructions = dice.choice(agents)
        yield began, _conversation(salt, instructions, dice, dice.randint(8, 30), 2.0, (500, 5_000))
    for began in _arrivals(dice, world.reader):
        salt, document, asked = text(dice, 32), text(dice, dice.randint(20_000, 60_000)), began
        for _ in range(dice.randint(3, 20)):
            yield asked, _conversation(salt, document, dice, 1, 0.0, (100, 300))
            asked += dice.expovariate(1 / 8)


def _arrivals(dice: random.Random, a_second: float) -> Iterator[float]:
    now = dice.expovariate(a_second)
    while now < SECONDS:
        yield now
        now += dice.expovariate(a_second)


def _conversation(
    salt: bytes, instructions: bytes, dice: random.Random, turns: int, pause_s: float, asks: tuple[int, int]
) -> Conversation:
    begun = b'[{"role":"system","content":"%b"}' % instructions
    return Conversation(salt, _dice(dice.getrandbits(60)), begun, turns, pause_s, asks)


class Fleet:
    """Everything, and what was seen."""

    def __init__(self, world: World, choose: Choose) -> None:
        dice = _dice(1)
        self._choose, self._dice = choose, _dice(2)
        self._engines = [Engine() for _ in range(ENGINES)]
        self._gateways = [Gateway() for _ in range(GATEWAYS)]
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self.first_tokens: list[float] = []
        self.known = self.read = 0
        for began, conversation in conversations(world, dice):
            self._at(began, lambda now, begun=conversation: self._ask(begun, now))  # type: ignore[misc]

    def run(self) -> None:
        """From the first event to the last."""
        while self._events:
            now, _, happen = heapq.heappop(self._events)
            happen(now)

    def _at(self, when: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, self._dice.getrandbits(60), happen))

    def _ask(self, conversation: Conversation, now: float) -> None:
        conversation.says("user", conversation.dice.randint(*conversation.asks))
        prompt = conversation.said + b"]"
        gateway = self._dice.choice(self._gateways)
        replica = self._choose(gateway, Beginning(prompt, conversation.salt))
        replica.began()
        engine = self._engines[replica.id - 1]
        first, known = engine.first_token(prompt, now)
        engine.writing += 1
        if now > WARM_S:
            self.first_tokens.append(first - now)
            self.known, self.read = self.known + known, self.read + len(prompt)
        tokens = conversation.dice.randint(50, 250)
        ends = first + tokens * WRITES_S * (1 + engine.writing / CROWD)
        self._at(ends, lambda now: self._end(conversation, replica, engine, tokens, now))

    def _end(self, conversation: Conversation, replica: Replica, engine: Engine, tokens: int, now: float) -> None:
        replica.ended()
        engine.writing -= 1
        conversation.left -= 1
        if conversation.left and now < SECONDS:
            conversation.says("assistant", tokens * 4)
            pause = conversation.dice.expovariate(1 / conversation.pause_s)
            self._at(now + pause, lambda now: self._ask(conversation, now))


def fleet() -> None:
    """Hit rate and first-token time of each choice in each world."""
    for name, world in WORLDS.items():
        table(name, "prompt tokens in the cache, %", "first token: p50 ms", "p95 ms")
        for choice, choose in CHOICES.items():
            seen = Fleet(world, choose)
            seen.run()
            cuts = statistics.quantiles(seen.first_tokens, n=20)
            row(choice, f"{100 * seen.known / seen.read:.1f}", f"{1000 * cuts[9]:.0f}", f"{1000 * cuts[18]:.0f}")


def cpu() -> None:
    """CPU microseconds a choice, of a conversation that is known and of one that is new: the least of many."""
    table("prompt", "known: µs", "new: µs", "least outstanding: µs")
    for size in (500, 1_500, 4_000, 16_000, 60_000, 400_000):
        gateway, dice = Gateway(), _dice(1)
        prompts = []
        for _ in range(200):
            asked = _conversation(b"s" * 43, text(dice, size // 2), dice, 1, 0.0, (size // 2, size // 2))
            asked.says("user", size // 2)
            prompts.append(Beginning(asked.said + b"]", asked.salt))
        forgetful = Gateway()
        forgetful.affinity = Affinity(0)
        figures = (_cpu_us(affinity, gateway, prompts), _cpu_us(affinity, forgetful, prompts))
        row(
            f"{size:,} bytes", *(f"{figure:.1f}" for figure in (*figures, _cpu_us(least_outstanding, gateway, prompts)))
        )


def _cpu_us(choose: Choose, gateway: Gateway, prompts: list[Beginning]) -> float:
    rounds = []
    for _ in range(20):
        began = time.process_time()
        for prompt in prompts:
            choose(gateway, prompt)
        rounds.append(time.process_time() - began)
    return min(rounds) / len(prompts) * 1e6


PARTS: Mapping[str, Callable[[], None]] = {"fleet": fleet, "cpu": cpu}


def main() -> None:
    """Do the parts that are named, all without a name."""
    parser = argparse.ArgumentParser(prog="python -m bench.routing", description="What routing is worth and costs.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=", ".join(PARTS))
    for part in parser.parse_args().parts or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
