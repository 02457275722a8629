"""The Celery application: coordinates pools, probes, exports, closings; never trusted with money or with state.

Every task is idempotent and may run twice: the broker delivers again what was not acknowledged.
"""

import os
from typing import Any

from celery import Celery, Task

from identity.audit_context import Door, through

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")


class WorkersTask(Task):  # type: ignore[misc]  # Celery has no types
    """Every task: what it records came through the worker's door."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it."""
        with through(Door.WORKER):
            return super().__call__(*args, **kwargs)


app = Celery("beffroi", task_cls=WorkersTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
