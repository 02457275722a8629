"""An agent without a machine: takes assignments, starts nothing, reports what it was told to."""

import itertools
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from billing.clock import database_now
from gateway.pools.fleet.assignments import signed_assignment
from gateway.pools.fleet.joining import join
from gateway.pools.fleet.nodes import add_node
from gateway.pools.fleet.reports import Taken, take_report
from gateway.pools.fleet_tables import Node
from tests.support.operators import RUNS

_ports = itertools.count(21_000)
_NEXT = {"fetching": "starting", "starting": "running"}


@dataclass
class FakeAgent:
    """`engines`: by replica, what is reported of it. `urls`: addresses that engines get, else some where nobody is."""

    name: str
    gpus: tuple[int, ...] = (80_000,)
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    generation: int = 0
    sequence: int = 0
    started_at: float = 1_000.0
    address: str = "127.0.0.1"
    is_simulated: bool = False
    engines: dict[int, dict[str, Any]] = field(default_factory=dict)
    specs: list[dict[str, Any]] = field(default_factory=list)
    urls: dict[int, str] = field(default_factory=dict)

    @classmethod
    def joined(cls, name: str, *gpus: int, labels: dict[str, str] | None = None) -> "FakeAgent":
        """A node of that name that has joined and has not reported yet."""
        _, token = add_node(name=name, labels=labels or {}, by=RUNS)
        agent = cls(name, gpus)
        agent.join(token)
        return agent

    @property
    def node(self) -> Node:
        """Its row as it is now."""
        return Node.objects.get(name=self.name)

    @property
    def public_key(self) -> str:
        return b64encode(self.key.public_key().public_bytes_raw()).decode()

    def join(self, token: str) -> None:
        """Become the node of the token."""
        self.membership = join(token=token, public_key=self.public_key, version="1")

    def hear(self, text: str | None = None) -> None:
        """Take an assignment, by default the one of now, as an agent does: none that is older than its own."""
        from base64 import b64decode

        public = Ed25519PublicKey.from_public_bytes(b64decode(self.membership.platform_public_key))
        claims = jwt.decode(
            text or signed_assignment(self.node, database_now()),
            public,
            algorithms=["EdDSA"],
            audience=f"node:{self.name}",
            issuer="beffroi",
        )
        if claims["generation"] < self.generation:
            return
        self.generation, self.specs = claims["generation"], claims["replicas"]
        wanted = {spec["id"] for spec in self.specs}
        self.engines = {pk: told for pk, told in self.engines.items() if pk in wanted}
        for pk in wanted - self.engines.keys():
            self.engines[pk] = {"id": pk, "state": "fetching"}

    def work(self) -> None:
        """Every engine gets a step further."""
        sleeps = {spec["id"]: spec.get("sleeps", False) for spec in self.specs}
        for pk, told in self.engines.items():
            if told["state"] in ("running", "asleep"):
                told["state"] = "asleep" if sleeps.get(pk) else "running"
            told["state"] = _NEXT.get(told["state"], told["state"])
            if told["state"] == "running" and not told.get("url"):
                told["url"] = self.urls.get(pk) or f"http://{self.address}:{next(_ports)}"

    def crash(self, pk: int, words: str = "The GPU has not enough memory.") -> None:
        """An engine ends by itself."""
        self.engines[pk] |= {"state": "exited", "fault": "out_of_memory", "words": words, "exit_code": 1}

    def restart(self, *, forgets: bool) -> None:
        """The agent's process is a new one; without its file of states it knows of nothing."""
        self.started_at += 1
        self.sequence = 0
        if forgets:
            self.generation, self.engines = 0, {}

    def text(self, *, at: datetime | None = None, **other: object) -> str:
        """A signed report."""
        self.sequence += 1
        now = at or database_now()
        claims = {
            "iss": f"node:{self.name}",
            "aud": "beffroi",
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(seconds=60)).timestamp()),
            "sequence": self.sequence,
            "generation": self.generation,
            "agent": {"version": "1", "started_at": self.started_at},
            "address": self.address,
            "is_simulated": self.is_simulated,
            "gpus": [{"index": index, "memory_mb": memory, "name": "H200"} for index, memory in enumerate(self.gpus)],
            "replicas": list(self.engines.values()),
            **other,
        }
        return jwt.encode(claims, self.key, algorithm="EdDSA")

    def report(self) -> Taken:
        """Report, and be heard."""
        return take_report(self.text())
