"""Hears, in each worker, that somebody waits for a model that has no engine, and has the fleet looked at at once.

Without it, or behind a pooler that swallows the news, the worker's clock does so within five seconds.
"""

import logging
import threading
from typing import Any

import psycopg
from celery import bootsteps
from kombu.exceptions import OperationalError

from console.database_line import line_options
from gateway.pools.schedule import FLEET_EVERY_SECONDS
from gateway.pools.tasks import reconcile

logger = logging.getLogger("beffroi.fleet")

RETRY_SECONDS = 5.0
TRY_EVERY_SECONDS = 30.0  # one at whose other end nobody is any more says nothing by itself
_LISTEN = "listen beffroi_demand"


class DemandNews(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """A thread beside the worker's tasks; begun after these, which may be processes of their own."""

    requires = {"celery.worker.components:Pool"}

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._ends = threading.Event()

    def start(self, worker: Any) -> None:
        """Begin to listen."""
        threading.Thread(target=self._run, name="demand news", daemon=True).start()

    def stop(self, worker: Any) -> None:
        """The thread ends with the process at the latest."""
        self._ends.set()

    def _run(self) -> None:
        while not self._ends.is_set():
            try:
                self._hear()
            except psycopg.Error as error:
                logger.warning("who waits for an engine is not heard for a moment: %s", type(error).__name__)
                self._ends.wait(RETRY_SECONDS)

    def _hear(self) -> None:
        with psycopg.connect(**line_options("beffroi demand news"), autocommit=True) as line:
            while not self._ends.is_set():
                line.execute(_LISTEN)
                if list(line.notifies(timeout=TRY_EVERY_SECONDS, stop_after=1)):
                    _look_at_fleet()


def _look_at_fleet() -> None:
    try:
        reconcile.apply_async(expires=FLEET_EVERY_SECONDS)
    except OperationalError as error:
        logger.warning("the broker took no word of who waits: %s", type(error).__name__)
