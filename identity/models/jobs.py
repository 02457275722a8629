"""What the worker does by the clock, and how that went."""

from django.db import models


class JobRun(models.Model):
    """The last run of a scheduled job. `error`: the class of the last exception, never its words (they may quote a
    request or a secret). Written by `identity/jobs.py`.
    """

    name = models.CharField(primary_key=True, max_length=100)
    began_at = models.DateTimeField()
    took_ms = models.IntegerField()
    went_well_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=100, blank=True)

    @property
    def is_failing(self) -> bool:
        """Whether the last run failed."""
        return self.failed_at is not None and (self.went_well_at is None or self.failed_at > self.went_well_at)
