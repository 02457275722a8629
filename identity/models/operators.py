"""Who runs the platform, and when they looked into a tenant."""

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from identity.models.people import Person
from identity.models.tenants import Tenant


class OperatorRole(models.TextChoices):
    """What somebody is for the platform."""

    PLATFORM = "platform", _("platform operator")
    BILLING = "billing", _("billing operator")
    SUPPORT = "support", _("support")


class OperatorAppointment(models.Model):
    """That a person has a role of the operator's. `Person.is_operator` is true exactly for who has one."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="appointments")
    role = models.CharField(max_length=16, choices=OperatorRole.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person", "role"], name="operator_has_a_role_once"),
            models.CheckConstraint(
                condition=models.Q(role__in=["platform", "billing", "support"]), name="operator_role_is_a_known_one"
            ),
        ]


class SupportSession(models.Model):
    """An operator's stay in a tenant: why, until when, and what an owner added to reading.

    It is over at `expires_at`, or at `ended_at` if somebody ended it before. `granted` counts until `granted_until`.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="support_sessions")
    operator = models.ForeignKey(Person, null=True, on_delete=models.SET_NULL, related_name="support_sessions")
    reason = models.CharField(max_length=200)
    opened_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    granted = ArrayField(models.CharField(max_length=32), default=list, blank=True)
    granted_until = models.DateTimeField(null=True, blank=True)
    granted_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "operator"],
                condition=models.Q(ended_at=None),
                name="support_session_is_open_once_an_operator",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    expires_at__gt=models.F("opened_at"), expires_at__lte=models.F("opened_at") + timedelta(hours=8)
                ),
                name="support_session_is_short",
            ),
            models.CheckConstraint(
                condition=models.Q(granted=[], granted_until=None)
                | models.Q(granted_until__lte=models.F("expires_at")),
                name="support_grant_ends_with_its_session",
            ),
        ]
