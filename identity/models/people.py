"""People and what they are in a tenant."""

import uuid

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from identity.models.tenants import Project, Tenant


class PersonManager(BaseUserManager["Person"]):
    """Django's sign-in machinery asks for people by e-mail address."""

    def get_by_natural_key(self, username: str | None) -> "Person":
        return self.get(email=username)


class Theme(models.TextChoices):
    """How pages look to a person."""

    LIGHT = "light", _("light")
    DARK = "dark", _("dark")
    SYSTEM = "system", _("as the system")


class Person(AbstractBaseUser):
    """Somebody who signs in. Append-only rows name a person by `pseudonym` only, so that erasing a person changes no
    row there.

    Who signs in through a provider is keyed on (issuer, subject), never on the e-mail address: `LinkedIdentity`
    has them (`issuer` and `subject` here are the last release's).
    `only_tenant_id` is of the session, not of the row: who came through a tenant's own provider is confined to it.
    """

    only_tenant_id: int | None = None

    pseudonym = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True)  # in lower case, so that "unique" means what people think
    name = models.CharField(max_length=200, blank=True)
    issuer = models.CharField(max_length=255, blank=True)
    subject = models.CharField(max_length=255, blank=True)
    language = models.CharField(max_length=8, default="en")
    theme = models.CharField(max_length=8, choices=Theme.choices, default=Theme.SYSTEM, db_default=Theme.SYSTEM.value)
    time_zone = models.CharField(max_length=64, blank=True, default="", db_default="")  # empty: the organisation's
    is_operator = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    erased_at = models.DateTimeField(null=True, blank=True, editable=False)

    USERNAME_FIELD = "email"
    objects = PersonManager()

    class Meta:
        verbose_name_plural = "people"
        constraints = [
            models.UniqueConstraint(
                fields=["issuer", "subject"], condition=~models.Q(subject=""), name="person_is_one_subject_of_an_issuer"
            ),
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="person_email_is_in_lower_case"),
        ]

    def __str__(self) -> str:
        return self.name or self.email


class Role(models.TextChoices):
    """A member's role in a tenant."""

    OWNER = "owner", _("owner")
    ADMINISTRATOR = "administrator", _("administrator")
    DEVELOPER = "developer", _("developer")
    FINANCE = "finance", _("finance")
    AUDITOR = "auditor", _("auditor")


class Membership(models.Model):
    """A person's role in a tenant: in all its projects, later ones too, or only in those of `projects`."""

    class Source(models.TextChoices):
        INVITATION = "invitation", _("invitation")
        GROUP = "group", _("group of the provider")
        SCIM = "scim", "SCIM"

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="memberships")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices)
    in_all_projects = models.BooleanField(default=True)
    projects = models.ManyToManyField(Project, blank=True, related_name="+")
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.INVITATION)
    # Whose groups gave it, where they did: only sign-ins through that provider take it away again.
    provider = models.ForeignKey(
        "identity.IdentityProvider", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person", "tenant"], name="membership_is_one_a_person_and_tenant"),
            models.CheckConstraint(
                condition=models.Q(role__in=["owner", "administrator", "developer", "finance", "auditor"]),
                name="membership_role_is_a_known_one",
            ),
        ]
