"""A user of the broker for each node, who may read its own queue and add to the one of reports, and nothing else.

Made when a machine joins. Whoever looks after the fleet drops it once its node is removed, and makes it again where the
broker lost it: a broker may be away at any time.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings

from billing.clock import database_now
from gateway.pools.fleet.broker import RABBITMQ_SCHEMES, VALKEY_SCHEMES, BrokerUnfit, Users, is_rabbitmq, user_of
from gateway.pools.fleet.rabbitmq_users import RabbitMqUsers
from gateway.pools.fleet.valkey_users import valkey_users
from gateway.pools.fleet_tables import FleetEvent, Node
from identity import secret_box
from identity.secret_box import SecretBoxError

logger = logging.getLogger("beffroi.fleet")

_LATELY = timedelta(days=1)  # for so long after the last node was removed, a broker that was away is put right


def password_context(node: Node) -> str:
    """What a node's password at the broker is sealed for."""
    return f"pools.node:{node.pk}:broker_password"


def url_for(name: str, password: str) -> str:
    """The broker's address, or addresses, with the node's user. Raises `BrokerUnfit`."""
    schemes = RABBITMQ_SCHEMES if is_rabbitmq() else VALKEY_SCHEMES
    found = []
    for url in settings.NODE_BROKER_URL.split(";"):
        parts = urlsplit(url)
        if parts.scheme not in schemes:
            raise BrokerUnfit(f"{parts.scheme} has no users of ours.")
        place = parts.netloc.rpartition("@")[2]
        found.append(urlunsplit(parts._replace(netloc=f"{user_of(name)}:{password}@{place}")))
    return ";".join(found)


def make_user(name: str, password: str) -> None:
    """Make the node's user, with nothing left of one before it. Raises `BrokerUnfit`."""
    with _users() as users:
        users.make(name, password)


def reconcile_broker_users() -> int:
    """Make the users of joined nodes that the broker does not have, drop those whose node is gone; gives how many."""
    nodes = {node.name: node for node in Node.objects.order_by("pk")}
    if not nodes and not _were_some_lately():
        return 0
    changed = 0
    try:
        with _users() as users:
            there = users.nodes()
            for name in sorted(there - nodes.keys()):
                users.drop(name)
                changed += 1
            for node in nodes.values():
                if node.joined_at is not None and node.name not in there:
                    password = secret_box.open_sealed(node.sealed_broker_password or b"", password_context(node))
                    users.make(node.name, password.decode())
                    changed += 1
    except (BrokerUnfit, SecretBoxError) as error:
        logger.warning("users of nodes are not as they should be at the broker: %s", error)
    return changed


def _were_some_lately() -> bool:
    """Installations without nodes have no need of a broker that takes users."""
    return FleetEvent.objects.filter(at__gt=database_now() - _LATELY, kind="removed").exists()


@contextmanager
def _users() -> Iterator[Users]:
    """Those of our broker. Raises `BrokerUnfit` where it is away, refuses, or is of another kind."""
    if is_rabbitmq():
        yield RabbitMqUsers()
    elif urlsplit(settings.VALKEY_URL).scheme in VALKEY_SCHEMES:
        with valkey_users() as users:
            yield users
    else:
        raise BrokerUnfit("only Valkey, Redis and RabbitMQ take users from us.")
