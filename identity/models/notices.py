"""Notices and who has read them."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from identity.models.people import Person
from identity.models.tenants import Tenant


class Notice(models.Model):
    """A message to a tenant's members (or, `tenant` empty, to the operator's people); made by `notices.notify()`."""

    class Level(models.TextChoices):
        INFO = "info", _("information")
        WARNING = "warning", _("warning")
        ALERT = "alert", _("alert")

    tenant = models.ForeignKey(Tenant, null=True, blank=True, on_delete=models.PROTECT, related_name="notices")
    kind = models.CharField(max_length=64)
    level = models.CharField(max_length=16, choices=Level.choices, default=Level.INFO)
    roles = ArrayField(models.CharField(max_length=16), default=list, blank=True)
    context = models.JSONField(default=dict)
    once_key = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "once_key"],
                condition=~models.Q(once_key=""),
                name="notice_is_sent_once",
                nulls_distinct=False,
            )
        ]


class NoticeReading(models.Model):
    """That a person has read a notice."""

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="readings")
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    read_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["notice", "person"], name="notice_is_read_once_by_a_person")]
