"""One run of the bench: the engine, what stands before it, and the client that is sent to each in turn."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from bench.accounts import counts_of, database_facts, differences, environment_of, verify_ledger
from bench.beffroi import Beffroi
from bench.load import Outcome, Work
from bench.machine import cores, free_ports, load_average, on
from bench.rivals import STARTERS, Missing, Target, answers
from console.supervisor.processes import python, spawn

POSTGRES = "its PostgreSQL"
DIRECT, NGINX, ROUTER, BEFFROI, FOUR = "direct", "nginx", "vllm-router", "Beffroi", "Beffroi, 4 processes"
EVERYBODY = (DIRECT, NGINX, ROUTER, BEFFROI)
# glibc would give the memory of each large body back to the kernel and fetch it again: for the engine and the client,
# whose speed is nobody's merit, that only hides the differences between those who are measured.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
MANY = 99
KEY = "bench-key-of-the-rivals"


@dataclass
class Session:
    """Starts what is measured as it is asked for; a context manager that stops all of it."""

    rounds: int
    is_quick: bool
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.cores = cores()
        self.folder = Path(tempfile.mkdtemp(prefix="beffroi-bench-"))
        self.engine_ports = dict(zip((*EVERYBODY, FOUR), free_ports(5), strict=True))
        self._targets: dict[str, Target | None] = {}
        self.installations: dict[str, Beffroi] = {}
        self._stack = ExitStack()
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._start_engine()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start_engine(self) -> None:
        ports = [str(port) for port in self.engine_ports.values()]
        with on(self.cores.load):
            engine = spawn(python("-m", "bench.mock", *ports), os.environ | KEEP_MEMORY, self.folder / "engine.log")
        self._stack.callback(engine.wait)
        self._stack.callback(engine.terminate)
        port = self.engine_ports[DIRECT]
        while not answers(port, ""):
            assert engine.poll() is None, (self.folder / "engine.log").read_text()
            time.sleep(0.05)

    def target(self, name: str) -> Target | None:
        """What answers by this name, started when first asked for; None (and a note) where it cannot be had."""
        if name not in self._targets:
            say(f"starting {name}")
            try:
                self._targets[name] = self._start(name)
            except Missing as error:
                self._targets[name] = None
                self.notes.append(f"{name} is missing: {error}")
                say(self.notes[-1])
        return self._targets[name]

    def _start(self, name: str) -> Target:
        port = self.engine_ports[name]
        if name == DIRECT:
            return Target(name, port, KEY, {})
        if name in STARTERS:
            folder = self.folder / name
            folder.mkdir()
            with on(self.cores.gateway):
                target, process, version = STARTERS[name](port, KEY, folder, os.environ)
            self._stack.callback(process.wait)
            self._stack.callback(process.terminate)
            self.versions.append(version)
            return target
        gateways = 4 if name == FOUR else 1
        self.installations[name] = self._stack.enter_context(Beffroi(port, self.cores, gateways))
        installation = self.installations[name]
        if name == BEFFROI:
            self.versions.append(database_facts(environment_of(installation.home, installation.environment)))
        return installation.target

    def measure(self, name: str, work: Work) -> Outcome | None:
        """Send the client to one of them; what was wrong is noted. None where it is missing."""
        target = self.target(name)
        if target is None:
            return None
        window_s = 2 / 3 * work.window_s if self.is_quick else work.window_s
        work = msgspec.structs.replace(
            work, port=target.port, key=target.key, watch=dict(target.watch), window_s=window_s
        )
        with on(self.cores.load):
            done = subprocess.run(
                [sys.executable, "-m", "bench.load"],
                input=msgspec.json.encode(work),
                capture_output=True,
                env=os.environ | KEEP_MEMORY,
            )
        if done.returncode != 0 or done.stderr:
            self.wrong.append(f"{name}: the client failed:\n{done.stderr.decode()[-2000:]}")
            return None
        outcome = msgspec.json.decode(done.stdout, type=Outcome)
        for what, fault in outcome.faults.items():
            self.wrong.append(f"{name}: {fault.count} x {what}; for example: {fault.sample!r}")
        return outcome

    def check_accounts(self) -> None:
        """Note what was billed otherwise than the engine said it."""
        for name, installation in self.installations.items():
            say(f"comparing the bill of {name} with what the engine said")
            environment = environment_of(installation.home, installation.environment)
            found = differences(environment, counts_of(self.engine_ports[name])) + verify_ledger(environment)
            if installation.target != self._targets[name]:
                found.append("a gateway or PostgreSQL died and was started again")
            self.wrong += [f"{name}: {difference}" for difference in found]

    def in_turn(
        self,
        names: tuple[str, ...],
        work: Work,
        *,
        most_rounds: int = MANY,
        rounds: int = 0,
        after_round: Callable[[], None] = lambda: None,
    ) -> "Results":
        """Visit each of them in each round: as many as asked for, at most `most_rounds` (quick: one), or `rounds`."""
        most_rounds = min(most_rounds, 1) if self.is_quick and most_rounds < MANY else most_rounds
        results = Results({name: [] for name in names})
        for number in range(rounds or min(self.rounds, most_rounds)):
            for name in names:
                outcome = self.measure(name, work)
                if outcome is not None:
                    results.outcomes[name].append(outcome)
                    say(f"  round {number + 1} {name}: {_in_short(outcome)}, load average {load_average():.1f}")
            after_round()
        return results


@dataclass
class Results:
    """The outcomes of each, round by round."""

    outcomes: Mapping[str, list[Outcome]]

    def medians(self, figure: Callable[[Outcome], float | None]) -> dict[str, float]:
        """The median of a figure over the rounds, of each that has it."""
        found = {name: list(_figures(outcomes, figure)) for name, outcomes in self.outcomes.items()}
        return {name: statistics.median(figures) for name, figures in found.items() if figures}


def _figures(outcomes: list[Outcome], figure: Callable[[Outcome], float | None]) -> Iterator[float]:
    for outcome in outcomes:
        value = figure(outcome)
        if value is not None:
            yield value


def cpu_us(outcome: Outcome, group: str, units: int) -> float | None:
    """CPU microseconds a unit of work of a group of processes; None where there is none."""
    cpu_s = outcome.cpu_s.get(group)
    return None if cpu_s is None or not units else 1e6 * cpu_s / units


def _in_short(outcome: Outcome) -> str:
    cpu = ", ".join(f"{group} {100 * cpu_s / outcome.seconds:.0f} % CPU" for group, cpu_s in outcome.cpu_s.items())
    return f"{outcome.requests} requests, {outcome.chunks} chunks in {outcome.seconds:.1f} s {cpu}"


def say(text: str) -> None:
    """A line of progress, at once."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
