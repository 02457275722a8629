"""Reviews of who has access to a tenant (SecNumCloud 3.2, 9.4.b)."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from identity.models.people import Person
from identity.models.tenants import Tenant


class AccessReview(models.Model):
    """One look at every member of a tenant. Open until it is signed off."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="access_reviews")
    started_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    started_at = models.DateTimeField()
    signed_off_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    signed_off_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"], condition=models.Q(signed_off_at=None), name="access_review_is_open_once_a_tenant"
            )
        ]


class AccessReviewLine(models.Model):
    """A member as the review found it, and what was decided. Names are read from the person, so that erasing one
    leaves a pseudonym here.
    """

    class Decision(models.TextChoices):
        CONFIRMED = "confirmed", _("confirmed")
        CHANGED = "changed", _("changed")
        REMOVED = "removed", _("removed")

    review = models.ForeignKey(AccessReview, on_delete=models.PROTECT, related_name="lines")
    person = models.ForeignKey(Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    pseudonym = models.UUIDField()
    role = models.CharField(max_length=16)
    in_all_projects = models.BooleanField()
    projects = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    source = models.CharField(max_length=16)
    last_sign_in_at = models.DateTimeField(null=True, blank=True)
    live_keys = models.PositiveIntegerField(default=0)
    decision = models.CharField(max_length=16, choices=Decision.choices, blank=True)
    role_after = models.CharField(max_length=16, blank=True)
    decided_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["review", "pseudonym"], name="access_review_has_a_person_once"),
            models.CheckConstraint(
                condition=models.Q(decision__in=["", "confirmed", "changed", "removed"]),
                name="access_review_decision_is_a_known_one",
            ),
            models.CheckConstraint(
                condition=models.Q(decision="", decided_at=None)
                | (~models.Q(decision="") & models.Q(decided_at__isnull=False)),
                name="access_review_decision_has_a_time",
            ),
        ]
