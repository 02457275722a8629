"""The acts of the loop on engines: fetch, launch, watch, stop, let sleep, wake, and keep how they ended."""

import errno
import logging
import os
import signal
import time
from collections.abc import Iterable

from gateway.node_agent import engine_calls, engine_logs
from gateway.node_agent.assignments import Spec, Weights
from gateway.node_agent.background import in_background
from gateway.node_agent.configuration import Configuration
from gateway.node_agent.convergence import State
from gateway.node_agent.engine_calls import Figures
from gateway.node_agent.engine_commands import command, find_vllm, free_port, python_beside
from gateway.node_agent.engine_flags import BadArgument, check
from gateway.node_agent.faults import Fault, explain
from gateway.node_agent.fetches import Fetches
from gateway.node_agent.processes import boot_id, noted, spawn
from gateway.node_agent.replicas import Replica
from gateway.node_agent.weights_fault import WeightsFault

LOOK_SECONDS, LOOK_STARTING_SECONDS = 2.0, 0.5

log = logging.getLogger(__name__)


class Engines:
    """What the loop does with the engines of this machine."""

    def __init__(self, configuration: Configuration, address: str) -> None:
        self._address = address
        self._is_simulated = configuration.simulated_gpus is not None
        self._vllm_told = configuration.vllm
        self._fetches = Fetches(configuration.home / "weights")

    def fetch(self, replica: Replica, spec: Spec) -> None:
        """Begin with its weights. What no engine could be started with fails at once, not after the fetch."""
        try:
            engine_logs.begin(replica.log)
            check(spec.arguments)
        except (BadArgument, OSError) as error:
            replica.enter(State.EXITED, _fault_of(error))
            return
        needs_none = self._is_simulated or spec.engine == "simulated"
        weights = Weights("none") if needs_none else spec.weights
        replica.fetching = self._fetches.join(spec.id, weights, python_beside(find_vllm(self._vllm_told)))

    def launch(self, replica: Replica, spec: Spec, taken: set[int]) -> None:
        """Start its engine on a free port. `taken`: ports of the other replicas. A failure is kept as its end."""
        assert replica.fetching is not None
        try:
            port = free_port(self._address, taken)
            engine = command(
                spec,
                address=self._address,
                port=port,
                model=replica.fetching.folder(),
                vllm=find_vllm(self._vllm_told),
                ours=os.environ,
                is_simulated=self._is_simulated,
            )
            replica.record.url = f"http://{f'[{self._address}]' if ':' in self._address else self._address}:{port}"
            replica.record.boot = boot_id()
            replica.enter(State.STARTING)
            replica.child = spawn(engine.argv, engine.environment, replica.log, replica.note)
        except (BadArgument, WeightsFault, OSError) as error:
            replica.enter(State.EXITED, _fault_of(error))
            return
        replica.process = noted(replica.note, replica.record.boot)

    def look(self, replica: Replica) -> None:
        """See what its engine answers, without waiting for it: the answer counts at a later look."""
        if replica.looking is not None and replica.looking.done():
            replica.answers, figures = replica.looking.result()
            replica.figures = figures or replica.figures
            replica.looking = None
        if replica.asked is not None and replica.asked.done():
            self._note_asked(replica, is_done=replica.asked.result())
        is_starting = replica.record.state == State.STARTING
        pause = LOOK_STARTING_SECONDS if is_starting else LOOK_SECONDS
        is_due = time.monotonic() - replica.looked_at > pause
        if replica.looking is None and is_due and replica.record.state in (State.STARTING, State.RUNNING):
            replica.looked_at = time.monotonic()
            url = replica.record.url
            replica.looking = in_background(lambda: _looked(url, is_starting=is_starting))

    def note_ready(self, replica: Replica) -> None:
        """It answers: from now on requests may reach it, and what it prints stays here."""
        replica.start_log = engine_logs.told(replica.log)
        replica.record.has_served = True
        replica.enter(State.RUNNING)

    def note_end(self, replica: Replica) -> None:
        """Its process ended: keep why, and end what is left of those that it started."""
        exit_code = self._end_session(replica)
        has_fault = bool(replica.record.fault)
        fault = explain(exit_code, engine_logs.tail(replica.log), has_served=replica.record.has_served)
        replica.record.exit_code = exit_code
        replica.enter(State.EXITED, None if has_fault else fault)

    def give_up_fetch(self, replica: Replica) -> None:
        """Its weights cannot be had."""
        assert replica.fetching is not None
        replica.enter(State.EXITED, replica.fetching.fault())

    def stop(self, replica: Replica) -> None:
        """Ask its engine to end."""
        if replica.process is not None:
            replica.process.send(signal.SIGTERM)
        replica.enter(State.STOPPING)

    def stop_as_too_slow(self, replica: Replica) -> None:
        """It did not answer in the time that its pool gives it."""
        seconds = replica.record.ready_within_s
        replica.record.fault = "too_slow"
        replica.record.words = f"It did not answer within {seconds:.0f} seconds of its start."
        self.stop(replica)

    def kill(self, replica: Replica) -> None:
        """It did not end when it was asked to."""
        self._end_session(replica)

    def sleep(self, replica: Replica) -> None:
        """Let its engine sleep."""
        url = replica.record.url
        if replica.asked is None:
            replica.asked = in_background(lambda: engine_calls.sleep(url))

    def wake(self, replica: Replica) -> None:
        """Wake its engine up."""
        url = replica.record.url
        if replica.asked is None:
            replica.asked = in_background(lambda: engine_calls.wake_up(url))

    def forget(self, replica: Replica) -> None:
        """Nothing of it is needed any more."""
        self._end_session(replica)
        if replica.fetching is not None:
            self._fetches.leave(replica.record.id, replica.fetching)
        replica.forget()

    def stop_all(self, replicas: Iterable[Replica], seconds: float) -> None:
        """End every engine, within so many seconds."""
        living = [replica for replica in replicas if replica.is_alive()]
        for replica in living:
            self.stop(replica)
        deadline = time.monotonic() + seconds
        while any(replica.is_alive() for replica in living) and time.monotonic() < deadline:
            time.sleep(0.05)
        for replica in living:
            self.forget(replica)

    def _note_asked(self, replica: Replica, *, is_done: bool) -> None:
        replica.asked = None
        if not is_done:
            log.warning("Replica %s neither sleeps nor wakes up as asked; it is asked again.", replica.record.id)
        elif replica.record.state == State.RUNNING:
            replica.enter(State.ASLEEP)
        elif replica.record.state == State.ASLEEP:
            replica.enter(State.RUNNING)

    def _end_session(self, replica: Replica) -> int | None:
        """Kill what is left of the engine and of those that it started. Its exit code, where we can know it."""
        if replica.process is not None:
            replica.process.end_session()
        return replica.child.poll() if replica.child else None  # not waited for: a driver may hold it for ever


def _looked(url: str, *, is_starting: bool) -> tuple[bool, Figures | None]:
    """Whether it answers, and how busy it is, which only counts once it does."""
    if is_starting:
        return engine_calls.answers(url), None
    figures = engine_calls.figures(url)
    return figures is not None, figures


def _fault_of(error: Exception) -> Fault:
    if isinstance(error, WeightsFault):
        return error.fault
    if isinstance(error, BadArgument):
        return Fault("bad_argument", str(error))
    if isinstance(error, FileNotFoundError):
        return Fault("not_installed", "The engine's program is not there.")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Fault("no_disk", "The disk is full.")
    return Fault("crashed", f"It could not be started: {os.strerror(getattr(error, 'errno', 0) or 0)}.")
