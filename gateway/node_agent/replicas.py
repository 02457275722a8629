"""The replicas of this node: what is kept of each on disk, so that an agent that comes back knows its engines again."""

import shutil
import subprocess
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gateway.node_agent.assignments import Spec
from gateway.node_agent.convergence import Fetch, Seen, State
from gateway.node_agent.durable import write_secret
from gateway.node_agent.engine_calls import Figures
from gateway.node_agent.faults import Fault
from gateway.node_agent.fetches import Fetching
from gateway.node_agent.processes import Process, boot_id, noted


class Record(msgspec.Struct):
    """What is kept of a replica. Times are seconds since 1970; nothing secret is in it.

    node: the identity of the node that it is a replica of
    has_served: it was ready once, so requests may have reached it
    """

    id: int
    node: str
    pool: str
    gpus: tuple[int, ...]
    gpu_memory_share: float
    ready_within_s: float
    state: State = State.FETCHING
    since: float = 0.0
    url: str = ""
    boot: str = ""
    has_served: bool = False
    fault: str = ""
    words: str = ""
    exit_code: int | None = None


@dataclass
class Replica:
    """A replica as the loop knows it. `child`: while we are its engine's parent; `asked`: a call to it under way;
    `start_log`: what it printed until it was ready.
    """

    record: Record
    folder: Path
    log: Path
    process: Process | None = None
    child: subprocess.Popen[bytes] | None = None
    fetching: Fetching | None = None
    figures: Figures = field(default_factory=Figures)
    answers: bool = False
    looking: "Future[tuple[bool, Figures | None]] | None" = None
    asked: "Future[bool] | None" = None
    looked_at: float = 0.0
    start_log: str = ""

    @property
    def note(self) -> Path:
        """Where the engine's process says which one it is."""
        return self.folder / "process"

    @property
    def port(self) -> int:
        """That its engine listens on; 0: it has none yet."""
        return int(self.record.url.rpartition(":")[2] or 0)

    def seen(self) -> Seen:
        """For the rules."""
        return Seen(
            state=self.record.state,
            is_alive=self.is_alive(),
            answers=self.answers,
            fetch=self.fetching.state() if self.fetching else Fetch.UNDER_WAY,
            seconds=time.time() - self.record.since,
            ready_within_s=self.record.ready_within_s,
        )

    def is_alive(self) -> bool:
        """Whether its engine runs. A child that ended is waited for here, so it does not stay a zombie.

        Of a child only the wait counts: its first thread may have ended, as /proc says, while others of it have not.
        """
        if self.child is not None:
            return self.child.poll() is None
        return self.process is not None and self.process.is_alive()

    def enter(self, state: State, fault: Fault | None = None) -> None:
        """Note a new state, durably."""
        self.record.state, self.record.since = state, time.time()
        if fault is not None:
            self.record.fault, self.record.words = fault.kind, fault.words
        self.keep()

    def keep(self) -> None:
        """Write its record."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_secret(self.folder / "record.json", msgspec.json.encode(self.record))

    def forget(self) -> None:
        """Remove all of it but its log."""
        shutil.rmtree(self.folder, ignore_errors=True)


def made(spec: Spec, home: Path, node: str) -> Replica:
    """A replica that the node did not know before."""
    record = Record(spec.id, node, spec.pool, spec.gpus, spec.gpu_memory_share, spec.ready_within_s, since=time.time())
    return Replica(record, home / "engines" / str(spec.id), _log(home, spec.id))


def adopted(home: Path, node: str, *, forgets_ended: bool = False) -> dict[int, Replica]:
    """The replicas that an earlier agent left, by id: those that run go on, of the others it is known that they ended.

    One whose process never began is left out: it begins anew when the platform says so. So does one that ended with the
    agent, where engines do (`forgets_ended`). What the machine ran as another node is ended.
    """
    found: dict[int, Replica] = {}
    for folder in sorted((home / "engines").glob("*")):
        try:
            record = msgspec.json.decode((folder / "record.json").read_bytes(), type=Record)
        except (OSError, msgspec.DecodeError):
            shutil.rmtree(folder, ignore_errors=True)
            continue
        replica = Replica(record, folder, _log(home, record.id))
        replica.process = noted(replica.note, record.boot)
        if record.node != node and replica.process is not None:
            replica.process.end_session()
        never_began = replica.process is None and record.state != State.EXITED
        if record.node != node or never_began or (forgets_ended and not replica.is_alive()):
            replica.forget()
            continue
        if record.state != State.EXITED and record.boot != boot_id():
            replica.enter(State.EXITED, Fault("killed", "The machine was started anew."))
        found[record.id] = replica
    return found


def _log(home: Path, replica: int) -> Path:
    return home / "logs" / f"{replica}.log"
