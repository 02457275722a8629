"""How the scheduled jobs went: one row a job, its last run. For display; nothing depends on it."""

from datetime import datetime, timedelta

from django.utils import timezone

from identity.models import JobRun

_ALWAYS = ["began_at", "took_ms"]


def note_run(name: str, *, began_at: datetime, error: BaseException | None = None) -> None:
    """Remember that a job ran until now, and how it ended."""
    now = timezone.now()
    took_ms = min(int((now - began_at) / timedelta(milliseconds=1)), 2**31 - 1)
    run = JobRun(name=name, began_at=began_at, took_ms=took_ms)
    if error is None:
        run.went_well_at, fields = now, ["went_well_at"]
    else:
        run.failed_at, run.error, fields = now, type(error).__name__[:100], ["failed_at", "error"]
    JobRun.objects.bulk_create([run], update_conflicts=True, unique_fields=["name"], update_fields=[*_ALWAYS, *fields])
