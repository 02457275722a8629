"""Takes what nodes report off their queue, in each worker.

A node may put whatever it likes into that queue, so its messages are no tasks: of each, the text of the report goes to
the one task that verifies it, whatever task the message names.
"""

import logging
from typing import Any

from celery import bootsteps
from kombu.messaging import Consumer

from gateway.pools.fleet.broker import reports_queue
from gateway.pools.fleet.reports import REPORT_LENGTH_MAX
from gateway.pools.tasks import take_nodes_report

logger = logging.getLogger("beffroi.fleet")

_EXPIRES_SECONDS = 60  # a report is old by then
_AT_ONCE = 20  # RabbitMQ would send us all that wait, of up to 256 KB each


class NodeReports(bootsteps.ConsumerStep):  # type: ignore[misc]  # Celery has no types
    """The consumer of the queue of reports."""

    def get_consumers(self, channel: Any) -> list[Consumer]:
        """One."""
        channel.basic_qos(0, _AT_ONCE, False)  # noqa: FBT003  # AMQP's own order
        return [Consumer(channel, queues=[reports_queue()], callbacks=[take], accept=["json"])]


def take(body: Any, message: Any) -> None:
    """Pass the report on, or drop what is none."""
    message.ack()
    report = report_in(body)
    if report is None:
        logger.warning("what a node sent is no report")
        return
    take_nodes_report.apply_async((report,), expires=_EXPIRES_SECONDS)


def report_in(body: Any) -> str | None:
    """The report of a message in Celery's form, `[arguments, {"report": text}, options]`; None where there is none."""
    match body:
        case [_, {"report": str(report)}, _] if len(report) <= REPORT_LENGTH_MAX:
            return report
        case _:
            return None
