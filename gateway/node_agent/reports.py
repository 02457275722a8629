"""What the node says of itself, signed with its own key, so that nobody else can say it."""

import time
from typing import Any

import jwt
import msgspec

from gateway.node_agent import engine_logs
from gateway.node_agent.convergence import State
from gateway.node_agent.engine_calls import Figures
from gateway.node_agent.joining import Membership
from gateway.node_agent.machine import Disk, Gpu
from gateway.node_agent.replicas import Replica
from gateway.node_agent.weights import OnDisk

AUDIENCE = "beffroi"
LIFE_SECONDS = 60
WORDS_LENGTH_MAX = 500
LOG_TOLD_SECONDS = 60  # after it was ready: several reports, as one may get lost


class AgentFacts(msgspec.Struct, frozen=True):
    """The process that reports; `started_at` in seconds since 1970."""

    version: str
    started_at: int


class ReplicaFacts(msgspec.Struct, frozen=True):
    """One replica now; `percent` of its weights that are here, `since` when its state began; `log`: the last lines that
    it printed until it was ready, told until then, after a start that failed, and for a minute after it.
    """

    id: int
    state: State
    url: str
    pid: int | None
    since: int
    percent: int
    fault: str
    words: str
    exit_code: int | None
    running: int
    waiting: int
    kv_cache_use: float
    log: str


class Report(msgspec.Struct, frozen=True):
    """The whole of what is observed; `generation`: of the assignment that it is an answer to, 0: of none."""

    generation: int
    agent: AgentFacts
    address: str
    is_simulated: bool
    labels: dict[str, str]
    cpus: int
    memory_bytes: int
    gpus: list[Gpu]
    disk: Disk
    models_on_disk: list[OnDisk]
    replicas: list[ReplicaFacts]


def facts_of(replica: Replica, log_length: int) -> ReplicaFacts:
    """One replica's part of the report, with at most so many characters of its log."""
    record = replica.record
    figures = replica.figures if record.state == State.RUNNING else Figures()
    return ReplicaFacts(
        id=record.id,
        state=record.state,
        url=record.url,
        pid=replica.process.pid if replica.process and record.state != State.EXITED else None,
        since=int(record.since),
        percent=replica.fetching.percent() if replica.fetching else 100,
        fault=record.fault,
        words=record.words[:WORDS_LENGTH_MAX],
        exit_code=record.exit_code,
        running=figures.running,
        waiting=figures.waiting,
        kv_cache_use=figures.kv_cache_use,
        log=_log_of(replica, log_length),
    )


def _log_of(replica: Replica, length: int) -> str:
    """Of an engine that requests may have reached only what it had printed before."""
    if not replica.record.has_served:
        return engine_logs.told(replica.log, length)
    is_fresh = time.time() - replica.record.since < LOG_TOLD_SECONDS and replica.record.state == State.RUNNING
    return replica.start_log[-length:] if is_fresh else ""


class Sequence:
    """Numbers that only grow, also over restarts: the clock's milliseconds, or one more than the last."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """The next number."""
        self._last = max(self._last + 1, int(time.time() * 1000))
        return self._last


def signed(report: Report, membership: Membership, sequence: int) -> str:
    """The report as a signed message (a JWS)."""
    now = int(time.time())
    claims: dict[str, Any] = {
        **msgspec.to_builtins(report),
        "iss": f"node:{membership.name}",
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + LIFE_SECONDS,
        "sequence": sequence,
    }
    return jwt.encode(claims, membership.own, algorithm="EdDSA")
