"""People who were asked to become members."""

from django.db import models

from identity.models.people import Person, Role
from identity.models.tenants import Project, Tenant


class Invitation(models.Model):
    """An address whose owner may become a member, by signing in with it.

    It is open until it is accepted, withdrawn or expired. There is no secret: whoever the identity provider vouches for
    as the owner of the address is who was invited, and nobody else.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="invitations")
    email = models.EmailField()  # in lower case, as a person's
    role = models.CharField(max_length=16, choices=Role.choices)
    in_all_projects = models.BooleanField(default=True)
    projects = models.ManyToManyField(Project, blank=True, related_name="+")
    invited_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "email"],
                condition=models.Q(accepted_at=None, withdrawn_at=None),
                name="invitation_is_open_once_an_address",
            ),
            models.CheckConstraint(
                condition=models.Q(accepted_at=None) | models.Q(withdrawn_at=None), name="invitation_ends_once"
            ),
            models.CheckConstraint(
                condition=models.Q(role__in=["owner", "administrator", "developer", "finance", "auditor"]),
                name="invitation_role_is_a_known_one",
            ),
        ]
        indexes = [models.Index(fields=["email"], name="invitation_by_email")]
