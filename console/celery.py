"""The Celery application: coordinates pools, probes, exports, closings; never trusted with money or with state.

Every task is idempotent and may run twice: the broker delivers again what was not acknowledged.
"""

import os
from contextlib import suppress
from typing import Any

from celery import Celery, Task, signals
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from identity.audit_context import Door, through

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")


def scheduled_tasks() -> dict[str, float]:
    """What the clock starts: the task's name and how often, in seconds."""
    return {entry["task"]: float(entry["schedule"]) for entry in settings.CELERY_BEAT_SCHEDULE.values()}


class WorkersTask(Task):  # type: ignore[misc]  # Celery has no types
    """Every task: what it records came through the worker's door, and how a scheduled one went is kept."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it."""
        with through(Door.WORKER):
            if self.request.called_directly or self.name not in scheduled_tasks():
                return super().__call__(*args, **kwargs)
            return self._noted(*args, **kwargs)

    def _noted(self, *args: Any, **kwargs: Any) -> Any:
        """Run it and remember how it went; a database that is away is the job's trouble, not the note's."""
        from identity.jobs import note_run  # when Django is set up

        began_at, failed = timezone.now(), None
        try:
            return super().__call__(*args, **kwargs)
        except Exception as error:
            failed = error
            raise
        finally:
            with suppress(DatabaseError):
                note_run(self.name, began_at=began_at, error=failed)


app = Celery("beffroi", task_cls=WorkersTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def _take_part_in_the_fleet(**_: Any) -> None:
    """In a worker, the consumer of what nodes report, and who hears of requests that wait for an engine."""
    from console.demand_news import DemandNews  # when Django is set up
    from console.node_reports import NodeReports

    app.steps["consumer"].add(NodeReports)
    app.steps["worker"].add(DemandNews)


signals.worker_init.connect(_take_part_in_the_fleet, weak=False)
