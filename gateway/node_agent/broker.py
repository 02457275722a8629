"""The way to and from the platform: a Celery worker on this node's queue, and the one queue that takes reports.

The broker's user may touch those two queues and nothing else, so nothing here declares, binds or broadcasts: there is
no remote control, no gossip, no mingling and no events. In Valkey messages go through the exchange without a name, and
what was taken and not acknowledged lies under keys with the node's own name. In RabbitMQ reports go through an exchange
of their own, the only one that we may write to. Payloads are JSON; what they say counts by its signature.
"""

import logging
from collections.abc import Callable
from typing import Any

from celery import Celery
from kombu.entity import Exchange, Queue

from gateway.node_agent.joining import Membership

TASK_ASSIGN, TASK_REPORT = "node.assign", "pools.take_report"
MESSAGE_SECONDS = 60  # older ones are dropped unread
REPORTS_WAITING_MAX = 1_000
"""More wait only while the platform's worker is away: then another one would fill the broker and say nothing new."""
_ANSWER_SECONDS = 10  # a broker that is silent for so long is away

log = logging.getLogger(__name__)


def application(membership: Membership, assign: Callable[[str], None]) -> Celery:
    """The Celery application of a node; `assign` is called with each message's signed assignment."""
    app = Celery("beffroi-node", set_as_current=False)
    app.conf.update(
        broker_url=membership.broker_url,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport_options(membership),
        broker_use_ssl=_tls_options(membership.broker_url),
        task_queues=[_queue(membership.queue)],
        task_default_queue=membership.queue,
        task_create_missing_queues=False,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        worker_pool="solo",
    )

    @app.task(name=TASK_ASSIGN)  # type: ignore[untyped-decorator]  # Celery has no types
    def take_assignment(*, assignment: str) -> None:
        assign(assignment)

    return app


def worker(app: Celery, node: str) -> Any:
    """The worker that consumes the node's queue in this thread, which has to be the main one."""
    return app.Worker(
        hostname=f"node@{node}",
        pool="solo",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
        loglevel=logging.WARNING,
    )


class Reports:
    """The queue of reports, as far as a node may use it: it adds one and sees how many wait."""

    def __init__(self, app: Celery, membership: Membership) -> None:
        self._app = app
        self._queue = membership.reports_queue
        self._way: dict[str, Any] = {"queue": _queue(self._queue)}
        self._timeouts: dict[str, int] = {}
        if not _is_valkey(membership.broker_url):
            self._way = {"exchange": self._queue, "routing_key": self._queue}
            # Not for the other connection: it may well hear nothing for so long.
            self._timeouts = {"read_timeout": _ANSWER_SECONDS, "write_timeout": _ANSWER_SECONDS}

    def send(self, report: str) -> None:
        """Add a report, unless too many wait. Raises what the broker's library raises when it is away."""
        with self._app.connection_for_write(transport_options=self._timeouts) as connection:
            if self._waiting(connection) > REPORTS_WAITING_MAX:
                log.warning("The platform takes no reports: this one is left out.")
                return
            self._app.send_task(
                TASK_REPORT,
                kwargs={"report": report},
                **self._way,
                connection=connection,
                declare=[],
                retry=False,
                expires=MESSAGE_SECONDS,
            )

    def _waiting(self, connection: Any) -> int:
        """How many wait; a queue that is not there is empty."""
        with connection.channel() as channel:
            try:
                return int(channel.queue_declare(self._queue, passive=True).message_count)
            except connection.channel_errors:
                return 0


def _queue(name: str) -> Queue:
    """A queue that the platform made: we neither declare nor bind it."""
    return Queue(name, Exchange(""), routing_key=name, no_declare=True)


def _is_valkey(url: str) -> bool:
    """Or Redis; else it is RabbitMQ."""
    return url.startswith(("redis", "sentinel"))


def _tls_options(url: str) -> dict[str, Any] | bool:
    """Without it kombu does not look at the name in RabbitMQ's certificate; of several hosts it takes one."""
    return {"server_hostname": None} if url.startswith("amqps:") and ";" not in url else False


def _transport_options(membership: Membership) -> dict[str, Any]:
    """Valkey's and Redis's know what RabbitMQ does not; that one says so where it takes no message."""
    if not _is_valkey(membership.broker_url):
        return {"confirm_publish": True}
    return {
        "unacked_key": f"{membership.queue}.unacked",
        "unacked_index_key": f"{membership.queue}.unacked_index",
        "unacked_mutex_key": f"{membership.queue}.unacked_mutex",
        "visibility_timeout": MESSAGE_SECONDS,
        "priority_steps": [0],
        "socket_timeout": _ANSWER_SECONDS,
        "socket_connect_timeout": _ANSWER_SECONDS,
        "socket_keepalive": True,
    }
