"""What a node is told: its whole assignment, signed and short-lived, until its report says that it has it.

An assignment has a generation that only grows. Which one is the last follows from the replicas' rows by a digest, so
that nothing is remembered of what was sent. The broker holds nothing that matters: one message a node at most.
"""

import hashlib
import json
import logging
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import jwt
from celery import current_app
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db.models import F, Q
from kombu.exceptions import OperationalError

from billing.clock import database_now
from gateway.pools.fleet.broker import node_queue
from gateway.pools.fleet_tables import Node, PoolConfiguration
from gateway.pools.models import Replica
from gateway.pools.registry import key_of
from identity.secret_box import SecretBoxError

logger = logging.getLogger("beffroi.fleet")

LIFE = timedelta(seconds=60)  # of a message: a node that is away gets a new one when it is back
_ASSIGNED = (
    Replica.State.REQUESTED,
    Replica.State.STARTING,
    Replica.State.WARMING,
    Replica.State.REGISTERED,
    Replica.State.READY,
    Replica.State.FAILED,
    Replica.State.DRAINING,
    Replica.State.EJECTED,
    Replica.State.SLEEPING,
)


def renew_assignments(nodes: list[Node]) -> None:
    """Give each node whose replicas changed its next generation. In the transaction that changed them."""
    specs = _specs(nodes)
    for node in nodes:
        digest = _digest([spec for _, spec in specs[node.pk]])
        # An agent remembers the highest one. Where it knows a higher one than we do, our database is a restored one.
        if digest != bytes(node.assignment_digest) or node.acknowledged > node.generation:
            node.assignment_digest = digest
            node.generation = max(node.generation + 1, node.acknowledged + 1, int(database_now().timestamp()))
            node.save(update_fields=["assignment_digest", "generation"])


def send_assignments() -> int:
    """Tell every node that does not have its assignment yet; gives how many. A broker that is away costs time only."""
    now, sent = database_now(), 0
    listening = Q(reported_at__gt=now - LIFE) | Q(reported_at=None)
    waiting = Node.objects.filter(listening, joined_at__isnull=False).exclude(acknowledged=F("generation"))
    for node in waiting.order_by("pk"):
        try:
            _send(node, signed_assignment(node, now))
        except (OperationalError, OSError) as error:
            logger.warning("the broker took no assignment for %s: %s", node.name, type(error).__name__)
            return sent
        except SecretBoxError:
            logger.error("an engine's key of %s cannot be opened: its assignment is not sent", node.name)
        else:
            sent += 1
    return sent


def signed_assignment(node: Node, now: datetime) -> str:
    """The node's assignment of now as a JWS (EdDSA). Raises `SecretBoxError`."""
    specs = [{**spec, "api_key": key_of(replica)} for replica, spec in _specs([node])[node.pk]]
    claims = {
        "iss": "beffroi",
        "aud": f"node:{node.name}",
        "iat": int(now.timestamp()),
        "exp": int((now + LIFE).timestamp()),
        "generation": node.generation,
        "replicas": specs,
    }
    return jwt.encode(claims, _private_key(node.command_key), algorithm="EdDSA")


def public_key_of(number: int) -> str:
    """Our public key of that number, in base64: what a node checks its assignments with."""
    return b64encode(_private_key(number).public_key().public_bytes_raw()).decode()


def _private_key(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(settings.COMMAND_KEYS[number])


def _send(node: Node, text: str) -> None:
    with current_app.connection_for_write() as connection:
        queue = node_queue(node.name)(connection.default_channel)
        queue.declare()
        queue.purge()  # only the last one counts, and a queue of a node that is away does not grow
        current_app.send_task(
            "node.assign",
            kwargs={"assignment": text},
            queue=queue,
            declare=[],
            connection=connection,
            expires=LIFE.total_seconds(),
            retry=False,
            ignore_result=True,
        )


def _specs(nodes: list[Node]) -> dict[int, list[tuple[Replica, dict[str, Any]]]]:
    """By node, its replicas in the order of their ids, each with what its node is told of it, its key aside."""
    memory = {node.pk: {gpu["index"]: gpu["memory_mb"] for gpu in node.observed.get("gpus", [])} for node in nodes}
    rows = Replica.objects.filter(machine__in=memory, state__in=_ASSIGNED).select_related("pool__model")
    replicas = list(rows.order_by("pk"))
    of_pools = PoolConfiguration.objects.filter(pool__in={replica.pool_id for replica in replicas})
    configurations = {(row.pool_id, row.generation): row for row in of_pools}
    found: dict[int, list[tuple[Replica, dict[str, Any]]]] = {node.pk: [] for node in nodes}
    for replica in replicas:
        assert replica.machine_id is not None
        assert replica.generation is not None
        configuration = configurations[replica.pool_id, replica.generation]
        found[replica.machine_id].append((replica, _spec(replica, configuration, memory[replica.machine_id])))
    return found


def _spec(replica: Replica, configuration: PoolConfiguration, memory: Mapping[int, int]) -> dict[str, Any]:
    """memory: of each of the node's GPUs, MiB."""
    shares = [configuration.gpu_memory_mb * 1000 // memory[index] for index in replica.gpus if memory.get(index)]
    sleep = {"may_sleep": True, "sleeps": replica.state == Replica.State.SLEEPING} if configuration.may_sleep else {}
    return {
        "id": replica.pk,
        "pool": replica.pool.name,
        "served_name": replica.pool.served_name,
        "kind": replica.pool.model.kind,
        "engine": configuration.engine,
        "weights": configuration.weights,
        "arguments": configuration.arguments,
        "trust_remote_code": configuration.trust_remote_code,
        "gpus": replica.gpus,
        "gpu_memory_share": min(shares, default=0) / 1000,
        "ready_within_s": configuration.ready_within_s,
        **sleep,
    }


def _digest(specs: list[dict[str, Any]]) -> bytes:
    return hashlib.sha256(json.dumps(specs, sort_keys=True).encode()).digest()
