"""Users of RabbitMQ, by the HTTP API of its management plugin: AMQP itself knows no way to make one."""

import json
from base64 import b64encode
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError
from kombu.utils.url import parse_url

from gateway.pools.fleet.broker import REPORTS_QUEUE, BrokerUnfit, node_queue, queue_of, reports_queue, user_of
from identity import egress

_PORTS = {"amqp": ("http", 15672), "amqps": ("https", 15671)}
_ANSWER_SECONDS = 10.0


class RabbitMqUsers:
    """As `Users` says, in the virtual host of our broker's address."""

    def __init__(self) -> None:
        self._host = quote(parse_url(settings.VALKEY_URL.partition(";")[0])["virtual_host"] or "/", safe="")

    def nodes(self) -> set[str]:
        """Another's user of such a name has other rights. Those are given last: who has them lacks nothing."""
        rows = json.loads(self._ask("GET", f"vhosts/{self._host}/permissions"))
        named = {row["user"].removeprefix(user_of("")): row for row in rows if row["user"].startswith(user_of(""))}
        return {name for name, row in named.items() if _rights(name).items() <= row.items()}

    def make(self, name: str, password: str) -> None:
        """With its queue, as it may not declare one. A user that is gone for a moment loses its connections."""
        _declare(node_queue(name), reports_queue())
        user = f"users/{user_of(name)}"
        self._ask("DELETE", user, may_be_missing=True)
        self._ask("PUT", user, {"password": password, "tags": ""})
        self._ask("PUT", f"permissions/{self._host}/{user_of(name)}", _rights(name))

    def drop(self, name: str) -> None:
        """With what lies in its queue."""
        self._ask("DELETE", f"users/{user_of(name)}", may_be_missing=True)
        self._ask("DELETE", f"queues/{self._host}/{queue_of(name)}", may_be_missing=True)

    def _ask(self, method: str, path: str, told: Any = None, *, may_be_missing: bool = False) -> bytes:
        """What the management answers. Raises `BrokerUnfit`."""
        address, credentials = management()
        basic = b64encode(credentials.encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
        body = None if told is None else json.dumps(told).encode()
        try:
            answer = egress.fetch(
                method,
                f"{address}/api/{path}",
                headers=headers,
                body=body,
                allow_private=True,
                total_seconds=_ANSWER_SECONDS,
            )
        except egress.EgressError as error:
            raise BrokerUnfit(f"RabbitMQ's management does not answer at {address}: {error}.") from error
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise BrokerUnfit(f"RabbitMQ's management at {address} wants an administrator and the right password.")
        is_done = HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
        if not is_done and not (may_be_missing and answer.status == HTTPStatus.NOT_FOUND):
            raise BrokerUnfit(f"RabbitMQ's management at {address} answers {answer.status} to {method} {path}.")
        return answer.body


def management() -> tuple[str, str]:
    """The management's address, and "user:password".

    What RABBITMQ_MANAGEMENT_URL does not say is as for the broker: its host, at the usual port, its user and password.
    """
    broker = urlsplit(settings.VALKEY_URL.partition(";")[0])
    told = urlsplit(settings.RABBITMQ_MANAGEMENT_URL)
    who = told if told.username else broker
    credentials = f"{unquote(who.username or 'guest')}:{unquote(who.password or 'guest')}"
    if told.hostname:
        return f"{told.scheme}://{told.netloc.rpartition('@')[2]}{told.path.rstrip('/')}", credentials
    scheme, port = _PORTS[broker.scheme]
    host = broker.hostname or "localhost"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}", credentials


def _rights(name: str) -> dict[str, str]:
    """Patterns of the names of exchanges and queues. It reads its queue and writes to the exchange of the reports."""
    read, write = queue_of(name).replace(".", r"\."), REPORTS_QUEUE.replace(".", r"\.")
    return {"configure": "^$", "read": f"^{read}$", "write": f"^{write}$"}


def _declare(*queues: Any) -> None:
    """Raises `BrokerUnfit`."""
    try:
        with current_app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1)
            for queue in queues:
                queue(connection.default_channel).declare()
    except (OperationalError, OSError) as error:
        raise BrokerUnfit(f"RabbitMQ does not answer ({type(error).__name__}).") from error
