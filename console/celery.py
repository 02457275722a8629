"""The Celery application: coordinates pools, probes, exports, closings; never trusted with money or with state.

Every task is idempotent and may run twice: the broker delivers again what was not acknowledged.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

app = Celery("beffroi")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
