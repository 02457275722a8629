"""Who gets a bill, and what it is split by."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Value
from django.utils.translation import gettext_lazy as _


class Tenant(models.Model):
    """Who gets one bill; on screen an "organisation".

    `policy_version` rises with every change of the tenant or of one of its projects (a database trigger sees to it):
    the ledger refuses an admission that was decided on an older one.
    `external_id`: what the operator's own systems call it; empty where they do not know it.

    `is_platform`: the operator's own account, for probes (`gateway/pools/probe_account.py`): nobody is a member of it,
    it gets no bill, it may call what is published to some only, and figures about clients leave it out.
    `closed_at`: it was made by mistake and never used (`billing/tenants/closing.py`): nobody finds it any more.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", _("active")
        SUSPENDED = "suspended", _("suspended")

    slug = models.SlugField(unique=True, max_length=63)
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, default="Europe/Paris")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    external_id = models.CharField(max_length=128, null=True, blank=True)  # noqa: DJ001  # unique where there is one
    suspended_at = models.DateTimeField(null=True, blank=True)
    suspended_reason = models.CharField(max_length=200, blank=True, default="", db_default="")
    is_demo = models.BooleanField(default=False)
    is_platform = models.BooleanField(default=False, db_default=False, editable=False)
    closed_at = models.DateTimeField(null=True, blank=True)
    policy_version = models.BigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["active", "suspended"]), name="tenant_status_is_a_known_one"
            ),
            models.UniqueConstraint(
                fields=["external_id"],
                condition=models.Q(external_id__isnull=False),
                name="tenant_external_id_is_unique",
            ),
        ]
        # Gateways poll for what was changed since a version.
        indexes = [models.Index(fields=["policy_version"], name="tenant_by_policy_version")]

    def __str__(self) -> str:
        return self.name


class Project(models.Model):
    """An application or a cost centre of a tenant. A new tenant has one, "Default". `responsible` answers for it.

    `allowed_models`: the only models that its keys may call, whatever these list themselves; empty: all that the tenant
    may call, those that come later too.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", _("active")
        ARCHIVED = "archived", _("archived")

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="projects")
    name = models.CharField(max_length=200)
    cost_centre = models.CharField(max_length=64, blank=True)
    purchase_order = models.CharField(max_length=64, blank=True, default="", db_default="")
    responsible = models.ForeignKey(
        "identity.Person", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    allowed_models = ArrayField(models.CharField(max_length=200), default=list, db_default=Value("{}"), blank=True)
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
