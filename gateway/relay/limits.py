"""Every limit of the relay, with its reason (I8). Nothing waits for ever and nothing grows for ever."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds (`_s`), bytes (`_bytes`) and counts.

    `BEFFROI_LIMITS="name=value,..."` changes one, for engines or clients that need it.
    """

    header_bytes: int = 64 * 1024  # a head larger than this is no API client's
    uri_bytes: int = 8 * 1024
    headers: int = 128
    body_bytes: int = 64 * MIB  # some twenty large images as data URIs
    page_body_bytes: int = 8 * MIB  # forms and /api; whoever sends them is not known before Django has them
    held_bytes: int = 512 * MIB  # request bodies in this process: past it clients wait, past the wait 503
    page_held_bytes: int = 64 * MIB  # those for Django, counted apart: strangers cannot take the memory of keys
    held_wait_s: float = 15
    connections: int = 16_384  # of clients; past it a new one gets 503
    pipelined: int = 8  # requests that one connection may queue before it is no longer read
    head_wait_s: float = 30  # for a head and what comes with it (Slowloris); then the body has
    body_rate_bytes: int = 8 * 1024  # a second to come at, at the least
    idle_s: float = 75  # a kept-alive connection without a request; proxies close at 60
    linger_s: float = 10  # for a client that still sends to read why it was refused
    linger_silence_s: float = 2
    write_stall_s: float = 120  # a client that reads less than half a write buffer of its answer in this time
    gone_s: float = 60  # a client or engine whose network died; also a client that takes nothing at all
    write_buffer_bytes: int = 256 * 1024  # per client, before its engine is no longer read

    admit_wait_s: float = 15  # I1: requests wait for the database this long, holding no engine
    call_s: float = 10  # for a statement: longer than any wait for a lock, and a request can still ask a second time
    money_wait_s: float = 15  # I3: for money that running requests hold, before a request is cut short or refused
    waiting_for_money: int = 256  # requests that wait for it; past it none does. Each asks the ledger twice a second
    waiting_for_money_of_tenant: int = 32  # so that one tenant does not take all places
    settle_wait_s: float = 60  # I1: a finished answer waits this long for its charge
    waiting_settlements: int = 20_000  # charges waiting for the database; past it the sweeper settles from checkpoints
    waiting_refusals: int = 10_000  # refusals are a courtesy: past it they are only lost
    waiting_admissions: int = 20_000  # requests waiting for the database; past it 503 at once
    batch: int = 512  # requests a ledger call: larger ones lock for too long
    keep_alive_s: float = 15  # silence after which a stream gets a comment
    checkpoint_s: float = 5  # I2 (d)
    heartbeat_s: float = 5  # I2
    silent_s: float = 20  # I2: an incarnation silent this long is fenced
    grace_s: float = 30  # I2: none is fenced this long after PostgreSQL started

    remembered_prompts: int = 65_536  # beginnings of prompts, some 150 bytes each: about what engines keep
    waiting_for_engine: int = 1_000  # requests of a model that wait for a place at its engines; past it 503
    engine_wait_s: float = 30  # for a place; past it 503
    wake_wait_s: float = 120  # for the first engine of a model that has none: one starts in minutes, clients wait ten
    connect_s: float = 3.5  # to an engine; what is lost on the way is sent again after 1 s and after 3 s
    first_byte_s: float = 600  # a long prompt on a busy engine, not streamed
    silence_s: float = 300  # between two bytes of a stream
    look_after_s: float = 1  # an engine that is silent for so long is asked whether it is there
    look_every_s: float = 2  # and again, as is one that is away
    look_s: float = 10  # for its answer, once there is a connection: a busy engine has to find time for it
    away_s: float = 15  # an answer waits so long for an engine that is away, unless another one may give it
    tokenize_s: float = 5
    attempts: int = 3  # replicas tried before a request fails
    answer_head_bytes: int = 512 * 1024  # the head of an engine's answer, with the body's first bytes
    answer_bytes: int = 256 * MIB  # a non-streamed answer: embeddings of a large batch
    idle_connections: int = 64  # kept to each replica
    ejected_s: float = 1  # a sick replica's first pause, doubled to
    ejected_most_s: float = 30
    page_wait_s: float = 120  # for Django's answer, and between two pieces of it
    start_wait_s: float = 10  # before a process that is not ready takes connections all the same
    drain_s: float = 30  # streams under way at SIGTERM
    drain_idle_s: float = 3  # a kept-alive connection at SIGTERM: its client may be sending a request

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Limits with those changes; raises ValueError for an unknown name or a value that is no positive number."""
        known = {field.name: field.type for field in fields(cls)}
        changes: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = part.partition("=")
            if name not in known:
                raise ValueError(f"BEFFROI_LIMITS: there is no limit called {name!r}")
            number = float(value) if known[name] is float else int(value)
            if number <= 0:
                raise ValueError(f"BEFFROI_LIMITS: {name} has to be positive")
            changes[name] = number
        return cls(**changes)  # type: ignore[arg-type]  # the loop above gave each its field's type


def limits_from_environment(environment: Mapping[str, str]) -> Limits:
    """The limits that `BEFFROI_LIMITS` describes; raises ValueError."""
    return Limits.from_text(environment.get("BEFFROI_LIMITS", ""))
