"""Tables of identity. Rules live in the verb modules beside this one (`api_keys`, `tenants`, `audit`, `notices`)."""

import uuid

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _


class Tenant(models.Model):
    """Who gets one bill; on screen an "organisation".

    `policy_version` rises with every change of the tenant or of one of its projects (a database trigger sees to it):
    the ledger refuses an admission that was decided on an older one.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", _("active")
        SUSPENDED = "suspended", _("suspended")

    slug = models.SlugField(unique=True, max_length=63)
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, default="Europe/Paris")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    is_demo = models.BooleanField(default=False)
    policy_version = models.BigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["active", "suspended"]), name="tenant_status_is_a_known_one"
            )
        ]
        # Gateways poll for what was changed since a version.
        indexes = [models.Index(fields=["policy_version"], name="tenant_by_policy_version")]

    def __str__(self) -> str:
        return self.name


class Project(models.Model):
    """An application or a cost centre of a tenant. A new tenant has one, "Default"."""

    class Status(models.TextChoices):
        ACTIVE = "active", _("active")
        ARCHIVED = "archived", _("archived")

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="projects")
    name = models.CharField(max_length=200)
    cost_centre = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="project_name_is_unique_in_its_tenant"),
            # What a key's foreign key on (project, tenant) refers to: a key cannot be in another tenant's project
            # (0002_rules.sql).
            models.UniqueConstraint(fields=["id", "tenant"], name="project_is_of_one_tenant"),
            models.CheckConstraint(
                condition=models.Q(status__in=["active", "archived"]), name="project_status_is_a_known_one"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PersonManager(BaseUserManager["Person"]):
    """Django's sign-in machinery asks for people by e-mail address."""

    def get_by_natural_key(self, username: str | None) -> "Person":
        return self.get(email=username)


class Person(AbstractBaseUser):
    """Somebody who signs in. Append-only rows name a person by `pseudonym` only, so that erasing a person changes no
    row there.

    A person who signs in through a provider is keyed on (`issuer`, `subject`), never on the e-mail address.
    """

    pseudonym = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True)  # in lower case, so that "unique" means what people think
    name = models.CharField(max_length=200, blank=True)
    issuer = models.CharField(max_length=255, blank=True)
    subject = models.CharField(max_length=255, blank=True)
    language = models.CharField(max_length=8, default="en")
    is_operator = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

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
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person", "tenant"], name="membership_is_one_a_person_and_tenant"),
            models.CheckConstraint(
                condition=models.Q(role__in=["owner", "administrator", "developer", "finance", "auditor"]),
                name="membership_role_is_a_known_one",
            ),
        ]


class ApiKey(models.Model):
    """A credential for inference and the API: `bfr_<lookup>_<secret>_<crc>`, of which only `lookup` and an HMAC are
    stored.

    `owner` is empty for a project's key. Empty `allowed_models`, `ip_ranges` mean "no restriction"; empty `origins`
    means that no browser may use the key. `policy_version` rises with every change (a database trigger sees to it).
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="api_keys")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="api_keys")
    owner = models.ForeignKey(Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="api_keys")
    created_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    name = models.CharField(max_length=200)
    lookup = models.CharField(max_length=16, unique=True)
    digest = models.BinaryField(max_length=32)
    pepper_id = models.PositiveSmallIntegerField()
    scopes = ArrayField(models.CharField(max_length=64), default=list)
    allowed_models = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    ip_ranges = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    origins = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    policy_version = models.BigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=~models.Q(lookup=""), name="api_key_has_a_lookup")]
        # Gateways poll for what was changed since a version.
        indexes = [models.Index(fields=["policy_version"], name="api_key_by_policy_version")]

    def __str__(self) -> str:
        return f"{self.name} (bfr_{self.lookup}_…)"


class AuditEvent(models.Model):
    """One link of a tenant's audit chain (`tenant` empty: the platform's own chain). Append-only; written by
    `audit.record()` alone.

    `hash` = SHA-256(previous_hash || canonical JSON of the row): see `identity/audit.py`.
    """

    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="audit_events")
    sequence = models.BigIntegerField()
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=16)
    actor = models.CharField(max_length=64)
    action = models.CharField(max_length=64)
    target_kind = models.CharField(max_length=32)
    target = models.CharField(max_length=64)
    detail = models.JSONField(default=dict)
    previous_hash = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "sequence"], name="audit_sequence_is_unique", nulls_distinct=False
            )
        ]


class AuditHead(models.Model):
    """The end of a chain: its last sequence and hash. Its row lock makes writers queue, so the sequence has no gaps;
    and as it is kept apart from the chain, a chain whose last links were cut off is found out.
    """

    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="+")
    sequence = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant"], name="audit_head_is_one_a_chain", nulls_distinct=False)
        ]


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


class SignInLink(models.Model):
    """A one-time sign-in link of a demo installation; only a digest of its secret is stored."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    digest = models.BinaryField(max_length=32, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
