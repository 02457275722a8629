"""The loop: what runs here becomes what is assigned, step by step, whatever happened in between.

One thread owns the replicas and changes them; what takes long (weights, an engine's answers) is done beside it. The
assignment comes from the broker's thread, the report is made for the reporter's. Whatever a step of one replica meets,
the others go on.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway.node_agent import assignments, engine_logs, machine
from gateway.node_agent.assignments import Assignment, AssignmentRefused, Spec
from gateway.node_agent.configuration import Configuration
from gateway.node_agent.convergence import Act, State, Wish, next_act
from gateway.node_agent.durable import write_secret
from gateway.node_agent.engines import Engines
from gateway.node_agent.joining import Membership
from gateway.node_agent.replicas import Replica, adopted, made
from gateway.node_agent.reports import AgentFacts, ReplicaFacts, Report, facts_of
from gateway.node_agent.weights import on_disk

TICK_SECONDS = 0.5
STOP_ALL_SECONDS = 10.0

log = logging.getLogger(__name__)


class _Told(msgspec.Struct, frozen=True):
    """What the loop says for the report. `taken`: by each engine, which GPUs and how much of them."""

    generation: int
    replicas: list[ReplicaFacts]
    taken: list[tuple[tuple[int, ...], float]]

    def news(self) -> object:
        """What the platform wants to know at once; figures and percentages can wait for the next report."""
        return self.generation, [(one.id, one.state, one.url) for one in self.replicas]


class Agent:
    """A node at work. `changed`: is set whenever the report says something new."""

    def __init__(self, configuration: Configuration, membership: Membership, version: str) -> None:
        self.changed = threading.Event()
        self._configuration, self._membership = configuration, membership
        self._home = configuration.home
        self._about = AgentFacts(version, int(time.time()))
        self._address = configuration.address or machine.address_towards(membership.broker_url)
        self._nvml = machine.Nvml()
        self._news, self._is_over = threading.Event(), threading.Event()
        self._known_generation = _kept_generation(self._home, membership.identity)
        self._assignment: Assignment | None = None
        self._engines = Engines(configuration, self._address)
        is_simulated = configuration.simulated_gpus is not None
        self._replicas = adopted(self._home, membership.identity, forgets_ended=is_simulated)
        self._told = self._made_told()
        self._thread = threading.Thread(target=self._run, name="convergence")

    def begin(self) -> None:
        """Start the loop."""
        if self._replicas:
            log.info("Adopted replicas: %s.", ", ".join(map(str, self._replicas)))
        self._thread.start()
        self.changed.set()

    def end(self) -> None:
        """Stop the loop. Engines run on, for the next agent to adopt; simulated ones end with us."""
        self._is_over.set()
        self._news.set()
        self._thread.join()
        if self._configuration.simulated_gpus is not None:
            self._engines.stop_all(self._replicas.values(), STOP_ALL_SECONDS)

    def take(self, signed: str) -> None:
        """Hear an assignment. One that does not count is logged and forgotten. Thread-safe."""
        try:
            assignment = assignments.read(
                signed,
                platform=self._membership.platform,
                node=self._membership.name,
                generation=self._known_generation,
            )
        except AssignmentRefused as refused:
            log.warning("Refused an assignment: %s.", refused)
            return
        if self._assignment is None or assignment.generation > self._known_generation:
            self._known_generation, self._assignment = assignment.generation, assignment
            self._news.set()
            _keep_generation(self._home, self._membership.identity, assignment.generation)

    def report(self) -> Report:
        """What is observed now. Looks at the machine, which may take a while where its driver does. Thread-safe."""
        told, count = self._told, self._configuration.simulated_gpus
        return Report(
            generation=told.generation,
            agent=self._about,
            address=self._address,
            is_simulated=count is not None,
            labels=dict(self._configuration.labels),
            cpus=machine.cpus(),
            memory_bytes=machine.memory_bytes(),
            gpus=self._nvml.gpus() if count is None else machine.simulated_gpus(count, told.taken),
            disk=machine.disk(self._home),
            models_on_disk=on_disk(self._home / "weights"),
            replicas=told.replicas,
        )

    def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                self._tick()
            except Exception:
                log.exception("A round of the loop failed; the next one begins anew.")
            self._news.wait(TICK_SECONDS)
            self._news.clear()

    def _tick(self) -> None:
        assignment = self._assignment
        wanted = assignment.by_id() if assignment else {}
        for number in wanted.keys() | self._replicas.keys():
            try:
                if number not in self._replicas:
                    self._begin(wanted[number])
                self._advance(self._replicas[number], wanted.get(number), has_heard=assignment is not None)
            except Exception:
                log.exception("Replica %s: a step failed; it is tried again.", number)
        told = self._made_told()
        is_news = told.news() != self._told.news()
        self._told = told
        if is_news:
            self.changed.set()

    def _begin(self, spec: Spec) -> None:
        replica = made(spec, self._home, self._membership.identity)
        self._engines.fetch(replica, spec)
        self._replicas[spec.id] = replica

    def _advance(self, replica: Replica, spec: Spec | None, *, has_heard: bool) -> None:
        self._engines.look(replica)
        engine_logs.keep_small(replica.log)
        act = next_act(replica.seen(), _wish(spec, has_heard=has_heard))
        if act == Act.NOTHING:
            return
        log.info("Replica %s (%s): %s.", replica.record.id, replica.record.pool, act.value)
        steps: dict[Act, Callable[[Replica], None]] = {
            Act.GIVE_UP_FETCH: self._engines.give_up_fetch,
            Act.STOP: self._engines.stop,
            Act.STOP_AS_TOO_SLOW: self._engines.stop_as_too_slow,
            Act.KILL: self._engines.kill,
            Act.NOTE_READY: self._engines.note_ready,
            Act.NOTE_END: self._engines.note_end,
            Act.SLEEP: self._engines.sleep,
            Act.WAKE: self._engines.wake,
            Act.FORGET: self._forget,
        }
        if act == Act.LAUNCH and spec is not None:
            taken = {one.port for one in self._replicas.values()}
            self._engines.launch(replica, spec, taken)
        elif act in steps:
            steps[act](replica)

    def _forget(self, replica: Replica) -> None:
        self._engines.forget(replica)
        del self._replicas[replica.record.id]
        engine_logs.prune(self._home / "logs", {one.log for one in self._replicas.values()})

    def _made_told(self) -> _Told:
        length = min(engine_logs.LENGTH_TOLD, engine_logs.LENGTH_TOLD_OF_ALL // max(1, len(self._replicas)))
        living = (one.record for one in self._replicas.values() if one.is_alive())
        return _Told(
            self._assignment.generation if self._assignment else 0,
            [facts_of(replica, length) for _, replica in sorted(self._replicas.items())],
            [(one.gpus, one.gpu_memory_share) for one in living if one.state != State.ASLEEP],
        )


def _wish(spec: Spec | None, *, has_heard: bool) -> Wish:
    if not has_heard:
        return Wish.UNKNOWN
    if spec is None:
        return Wish.GONE
    return Wish.SLEEP if spec.may_sleep and spec.sleeps else Wish.RUN


def _keep_generation(home: Path, node: str, generation: int) -> None:
    """So that after a restart no assignment from before it is taken for new."""
    try:
        write_secret(home / "generation", f"{node} {generation}".encode())
    except OSError as error:  # a full disk must not keep us from stopping what fills it
        log.warning("The generation could not be kept (%s).", type(error).__name__)


def _kept_generation(home: Path, node: str) -> int:
    """Of the newest assignment that an earlier agent heard as this node; 0: of none."""
    try:
        kept, _, generation = (home / "generation").read_text().rpartition(" ")
        return int(generation) if kept == node else 0
    except (OSError, ValueError):
        return 0
