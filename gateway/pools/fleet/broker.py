"""What nodes have at the broker: a queue to each, one for what all of them report, and a user each (`broker_users.py`).

Nobody but the platform declares or binds anything. Behind Valkey every message goes by the exchange without a name.
RabbitMQ gives rights to write by exchange, and who may use that one may write to any queue: there the reports have an
exchange of their own, and a node no right to any other.
"""

from typing import Any, Protocol
from urllib.parse import urlsplit

from django.conf import settings
from kombu.entity import Exchange, Queue

REPORTS_QUEUE = "beffroi.reports"
VALKEY_SCHEMES, RABBITMQ_SCHEMES = ("redis", "rediss", "redis+socket"), ("amqp", "amqps")


class BrokerUnfit(Exception):
    """Why the broker takes no users from us, in words."""


class Users(Protocol):
    """The nodes' users of a broker. All raise what its library raises, or `BrokerUnfit`."""

    def nodes(self) -> set[str]:
        """The names of nodes whose user is there, with its rights."""

    def make(self, name: str, password: str) -> None:
        """Make the node's user anew: whoever is connected with an older password is cut off."""

    def drop(self, name: str) -> None:
        """Remove the node's user, if there is one, with its connections and its queue."""


def is_rabbitmq() -> bool:
    """Whether our broker is RabbitMQ; else it is Valkey or Redis."""
    return urlsplit(settings.VALKEY_URL).scheme in RABBITMQ_SCHEMES


def user_of(name: str) -> str:
    """The broker's user of the node of that name."""
    return f"node-{name}"


def queue_of(name: str) -> str:
    """The name of the queue to the node of that name."""
    return f"beffroi.node.{name}"


def node_queue(name: str) -> Any:
    """The queue to the node of that name."""
    return Queue(queue_of(name), Exchange(""), routing_key=queue_of(name))


def reports_queue() -> Any:
    """The queue of reports."""
    exchange = Exchange(REPORTS_QUEUE if is_rabbitmq() else "")
    return Queue(REPORTS_QUEUE, exchange, routing_key=REPORTS_QUEUE)
