"""A user of the broker for each node, who may touch its own queue and add to the one of reports, and nothing else.

Valkey and Redis (7 and later) take such users from us. They forget them when they restart without a file of users,
so whoever looks after the fleet makes those that are missing again (`renew_broker_users`).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from gateway.pools.fleet.assignments import REPORTS_QUEUE, queue_of
from gateway.pools.fleet_tables import Node
from identity import secret_box
from identity.secret_box import SecretBoxError

logger = logging.getLogger("beffroi.fleet")

_SCHEMES = ("redis", "rediss", "redis+socket")
# What Celery's transport does with a queue: lists, the hash and the sorted set of what was not acknowledged, a lock.
_COMMANDS = (
    *("+@connection", "+@list", "+@hash", "+@sortedset", "+@transaction", "+set", "+setnx", "+get", "+del", "+expire"),
    *("+pexpire", "+exists", "+evalsha", "+eval", "+script|load", "+script|exists", "-@dangerous", "-client"),
    *("+client|setinfo", "+client|setname", "+client|id"),
)


class BrokerUnfit(Exception):
    """Why the broker takes no users from us, in words."""


def password_context(node: Node) -> str:
    """What a node's password at the broker is sealed for."""
    return f"pools.node:{node.pk}:broker_password"


def user_of(name: str) -> str:
    """The broker's user of the node of that name."""
    return f"node-{name}"


def url_for(name: str, password: str) -> str:
    """The broker's address with the node's user. Raises `BrokerUnfit`."""
    parts = urlsplit(settings.NODE_BROKER_URL)
    if parts.scheme not in _SCHEMES:
        raise BrokerUnfit(f"{parts.scheme} has no users of ours.")
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user_of(name)}:{password}@{place}"))


def make_user(name: str, password: str) -> None:
    """Make or renew the node's user. Raises `BrokerUnfit`."""
    with _broker() as client:
        _set_user(client, name, password)


def renew_broker_users() -> int:
    """Make the users of joined nodes again that the broker does not have; gives how many."""
    nodes = list(Node.objects.filter(joined_at__isnull=False).order_by("pk"))
    if not nodes:
        return 0
    made = 0
    try:
        with _broker() as client:
            known = {user.decode() for user in client.execute_command("ACL", "USERS")}
            for node in nodes:
                if user_of(node.name) not in known:
                    password = secret_box.open_sealed(node.sealed_broker_password or b"", password_context(node))
                    _set_user(client, node.name, password.decode())
                    made += 1
    except (BrokerUnfit, SecretBoxError) as error:
        logger.warning("users of nodes are not made at the broker: %s", error)
    return made


def _set_user(client: Any, name: str, password: str) -> None:
    queue = queue_of(name)
    keys = [queue, *(f"{queue}.{kept}" for kept in ("unacked", "unacked_index", "unacked_mutex"))]
    rules = ["reset", "on", f">{password}", *(f"~{key}" for key in keys), *_COMMANDS]
    client.execute_command("ACL", "SETUSER", user_of(name), *rules, f"(+lpush +llen ~{REPORTS_QUEUE})")


@contextmanager
def _broker() -> Iterator[Any]:
    """The broker's own client. Raises `BrokerUnfit` where it is no Valkey, is away, or refuses."""
    if urlsplit(settings.VALKEY_URL).scheme not in _SCHEMES:
        raise BrokerUnfit("only Valkey and Redis take users from us.")
    try:
        with current_app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1)
            yield connection.default_channel.client
    except (OperationalError, OSError, RedisError) as error:
        raise BrokerUnfit(f"{type(error).__name__}.") from error
