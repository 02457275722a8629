"""Users of Valkey and Redis (7 and later) by `ACL`. They forget them when they restart without a file of users."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import current_app
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from gateway.pools.fleet.broker import REPORTS_QUEUE, BrokerUnfit, queue_of, user_of

# What Celery's transport does with a queue: lists, the hash and the sorted set of what was not acknowledged, a lock.
_COMMANDS = (
    *("+@connection", "+@list", "+@hash", "+@sortedset", "+@transaction", "+set", "+setnx", "+get", "+del", "+expire"),
    *("+pexpire", "+exists", "+evalsha", "+eval", "+script|load", "+script|exists", "-@dangerous", "-client"),
    *("+client|setinfo", "+client|setname", "+client|id"),
)


class ValkeyUsers:
    """As `Users` says, over the platform's own connection."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def nodes(self) -> set[str]:
        """Another's user of such a name does not reach the node's queue."""
        users = [line.decode().split() for line in self._client.execute_command("ACL", "LIST")]
        named = {words[1].removeprefix(user_of("")): words for words in users if words[1].startswith(user_of(""))}
        return {name for name, words in named.items() if f"~{queue_of(name)}" in words}

    def make(self, name: str, password: str) -> None:
        """A user that is gone for a moment loses its connections."""
        self._client.execute_command("ACL", "DELUSER", user_of(name))
        rules = ["reset", "on", f">{password}", *(f"~{key}" for key in _keys(name)), *_COMMANDS]
        self._client.execute_command("ACL", "SETUSER", user_of(name), *rules, f"(+lpush +llen ~{REPORTS_QUEUE})")

    def drop(self, name: str) -> None:
        """With what lies in its queue."""
        self._client.execute_command("ACL", "DELUSER", user_of(name))
        self._client.delete(*_keys(name))


@contextmanager
def valkey_users() -> Iterator[ValkeyUsers]:
    """Raises `BrokerUnfit` where the broker is away or refuses."""
    try:
        with current_app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1)
            yield ValkeyUsers(connection.default_channel.client)
    except (OperationalError, OSError, RedisError) as error:
        raise BrokerUnfit(f"{type(error).__name__}.") from error


def _keys(name: str) -> list[str]:
    queue = queue_of(name)
    return [queue, *(f"{queue}.{kept}" for kept in ("unacked", "unacked_index", "unacked_mutex"))]
