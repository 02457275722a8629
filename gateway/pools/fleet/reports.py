"""What nodes say of themselves: signed by each, verified here, written down whole.

A report is dropped where it is not signed by the node that it names, is too old, or is older than the one before. What
it says of a replica counts only for replicas that are on that node, and an engine's address only on the node's own.
"""

import hashlib
import logging
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import transaction

from billing.clock import database_now
from gateway.pools.fleet import events
from gateway.pools.fleet.start_logs import LENGTH_MAX, keep_log
from gateway.pools.fleet.world import SILENT
from gateway.pools.fleet_tables import Node
from gateway.pools.models import Replica
from gateway.pools.registry import set_state
from identity import audit

logger = logging.getLogger("beffroi.fleet")

REPORT_LENGTH_MAX = 256 * 1024  # characters: some hundreds of replicas
_CLOCKS_DIFFER = 30  # seconds
_ACTOR = audit.Actor.system("fleet")

# An agent that was stopped with its engines begins them anew: one that was ready starts once more, at another address.
_ON_THEIR_WAY = (
    Replica.State.REQUESTED,
    Replica.State.STARTING,
    Replica.State.WARMING,
    Replica.State.REGISTERED,
    Replica.State.READY,
    Replica.State.FAILED,
)
Short = Annotated[str, msgspec.Meta(max_length=300)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class GpuReport(msgspec.Struct):
    """A GPU, memory in MiB."""

    index: Count
    memory_mb: Count
    used_mb: Count = 0
    name: Short = ""
    uuid: Short = ""


class WeightsReport(msgspec.Struct):
    """A model on the node's disk."""

    location: Short
    revision: Short = ""
    bytes: Count = 0


class ReplicaReport(msgspec.Struct):
    """A replica; `state` as the node says it."""

    id: Count
    state: Literal["fetching", "starting", "running", "asleep", "stopping", "exited"]
    url: Short = ""
    percent: Count = 0
    fault: Short = ""
    words: Annotated[str, msgspec.Meta(max_length=500)] = ""
    exit_code: int | None = None
    running: Count = 0
    waiting: Count = 0
    kv_cache_use: float = 0.0
    log: Annotated[str, msgspec.Meta(max_length=LENGTH_MAX)] = ""


class AgentReport(msgspec.Struct):
    """The agent's process."""

    version: Short
    started_at: float


class Report(msgspec.Struct):
    """All that a node says at once."""

    sequence: Count
    generation: Count
    agent: AgentReport
    address: Short
    is_simulated: bool = False
    labels: dict[Short, Short] = {}
    cpus: Count = 0
    memory_bytes: Count = 0
    gpus: list[GpuReport] = []
    disk: dict[str, Count] = {}
    models_on_disk: list[WeightsReport] = []
    replicas: list[ReplicaReport] = []


@dataclass(frozen=True, slots=True)
class Taken:
    """What a report brought: replicas whose engine answers now (their ids), and whether anything is to be planned."""

    warming: tuple[int, ...] = ()
    is_news: bool = False


class NotTaken(Exception):
    """Why a report does not count."""


def take_report(text: str) -> Taken:
    """Verify a report and write down what it says. Raises `NotTaken`."""
    node, report = _verified(text)
    with transaction.atomic():
        known = Node.objects.select_for_update(no_key=True).filter(pk=node.pk).first()
        if known is None or (report.agent.started_at, report.sequence) <= (known.agent_started_at, known.sequence):
            raise NotTaken("it is older than the last one")
        was_silent = known.reported_at is None or database_now() - known.reported_at >= SILENT
        has_caught_up = known.acknowledged != report.generation
        replicas = list(
            Replica.objects.filter(machine=known, source=Replica.Source.FLEET)
            .select_related("pool__model")
            .select_for_update(of=("self",))
            .order_by("pk")
        )
        heard_before = known.reported_at
        _write_node(known, report, strangers=_strangers(report, replicas))
        if was_silent:
            events.note_node(known, "reports", began_at=heard_before)
        told = {one.id: one for one in report.replicas}
        changed = [replica for replica in replicas if _write_replica(replica, told.get(replica.pk), report.address)]
    warming = tuple(one.pk for one in changed if one.state == Replica.State.WARMING)
    return Taken(warming, is_news=was_silent or has_caught_up or bool(changed))


def _verified(text: str) -> tuple[Node, Report]:
    if len(text) > REPORT_LENGTH_MAX:
        raise NotTaken("it is too long")
    try:
        issuer = jwt.decode(text, options={"verify_signature": False}).get("iss", "")
        node = Node.objects.filter(name=str(issuer).removeprefix("node:"), public_key__isnull=False).first()
        if node is None:
            raise NotTaken("no such node")
        claims: dict[str, Any] = jwt.decode(
            text,
            Ed25519PublicKey.from_public_bytes(bytes(node.public_key or b"")),
            algorithms=["EdDSA"],
            audience="beffroi",
            issuer=f"node:{node.name}",
            leeway=_CLOCKS_DIFFER,
            options={"require": ["exp", "iat", "iss", "aud"]},
        )
        return node, msgspec.convert(claims, Report)
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError) as error:
        raise NotTaken(f"it does not hold: {type(error).__name__}") from None


def _strangers(report: Report, replicas: list[Replica]) -> int:
    """How many engines run there that no row knows of: the assignment ends them."""
    known = {replica.pk for replica in replicas}
    return sum(one.id not in known and one.state != "exited" for one in report.replicas)


def _write_node(node: Node, report: Report, *, strangers: int) -> None:
    observed = msgspec.to_builtins(report)
    for name in ("replicas", "sequence", "generation"):
        del observed[name]
    node.observed = {**observed, "strangers": strangers}
    node.acknowledged = report.generation
    node.agent_started_at, node.sequence = report.agent.started_at, report.sequence
    node.reported_at = database_now()
    node.save(update_fields=["observed", "acknowledged", "agent_started_at", "sequence", "reported_at"])


def _write_replica(replica: Replica, told: ReplicaReport | None, address: str) -> bool:
    """Keep what is said of it and move it on; gives whether that is news."""
    before: str | None = replica.observed.get("state")
    was_asleep, log_before = before == "asleep" or bool(replica.observed.get("was_asleep")), replica.observed.get("log")
    replica.observed = _seen_of(told) if told else {}
    if was_asleep and told is not None and told.state == "stopping":
        replica.observed["was_asleep"] = True  # it ends without its memory
    if told is not None and told.log and replica.observed["log"] != log_before:
        keep_log(replica, told.log)
    replica.save(update_fields=["observed"])
    if told is None or replica.state not in _ON_THEIR_WAY:
        return before != (told.state if told else None) or (told is not None and _has_drained(replica, told))
    is_new = replica.state in (Replica.State.REQUESTED, Replica.State.STARTING) or told.url != replica.url
    if told.state == "running" and is_new and _is_at(told.url, address) and _has_address(replica, told.url):
        set_state(replica=replica, state=Replica.State.WARMING, reason="", actor=_ACTOR)
    elif told.state in ("fetching", "starting") and replica.state != Replica.State.STARTING:
        set_state(replica=replica, state=Replica.State.STARTING, reason="", actor=_ACTOR)
    return before != told.state


def _has_address(replica: Replica, url: str) -> bool:
    """Give it the address of its engine; of another one of the node, whose engine is gone, it is taken away. False
    where the address is that of an engine of somebody else's.
    """
    other = Replica.objects.filter(pool=replica.pool_id, url=url).exclude(pk=replica.pk).first()
    if other is not None and other.machine_id != replica.machine_id:
        return False
    if other is not None:
        other.url = f"node://{other.node}/{other.pk}"
        other.save(update_fields=["url"])
        if other.state in _ON_THEIR_WAY:
            set_state(replica=other, state=Replica.State.STARTING, reason="", actor=_ACTOR)
    replica.url = url
    replica.save(update_fields=["url"])
    return True


def _seen_of(told: ReplicaReport) -> dict[str, Any]:
    """What is kept with the replica: of its log a digest, as the text has a row of its own."""
    return {**msgspec.to_builtins(told), "log": hashlib.sha256(told.log.encode()).hexdigest()}


def _has_drained(replica: Replica, told: ReplicaReport) -> bool:
    return replica.state == Replica.State.DRAINING and told.running + told.waiting == 0


def _is_at(url: str, address: str) -> bool:
    """Whether an engine's address is on the node itself: a node must not lead requests, or our probes, elsewhere."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    host_text = f"[{host}]" if host and ":" in host else host
    is_plain = url == f"http://{host_text}:{port}"
    return is_plain and port is not None and host == address.strip("[]").lower()
