"""Identity providers: who vouches for people, for which tenant, and what their groups give."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from identity.models.people import Person
from identity.models.tenants import Project, Tenant


class IdentityProvider(models.Model):
    """One door of OpenID Connect: the operators', the one that all client tenants share, or a tenant's own.

    Its settings are versions, of which at most one is active and one is being prepared.
    """

    class Audience(models.TextChoices):
        OPERATORS = "operators", _("operators")
        SHARED = "shared", _("all organisations")
        TENANT = "tenant", _("one organisation")

    audience = models.CharField(max_length=16, choices=Audience.choices)
    tenant = models.ForeignKey(
        Tenant, null=True, blank=True, on_delete=models.PROTECT, related_name="identity_providers"
    )
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["audience", "tenant"], name="provider_is_one_a_door", nulls_distinct=False),
            models.CheckConstraint(
                condition=models.Q(audience="tenant", tenant__isnull=False)
                | models.Q(audience__in=["operators", "shared"], tenant__isnull=True),
                name="provider_is_a_tenants_or_the_platforms",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def handle(self) -> str:
        """Its name in addresses, each its own: a provider cannot have another one's answers sent to itself."""
        return f"tenant-{self.tenant.slug}" if self.tenant else self.audience


class ProviderVersion(models.Model):
    """Settings of a provider. They are never edited: a change is a new version, which has to be tried first.

    DRAFT: nobody signed in through it yet. TRIED: who wrote it did. ACTIVE: in use. OFF: replaced, withdrawn or
    switched off. `sealed_secret` is the client's secret, sealed for "identity.provider:<provider id>".
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("draft")
        TRIED = "tried", _("tried")
        ACTIVE = "active", _("active")
        OFF = "off", _("off")

    provider = models.ForeignKey(IdentityProvider, on_delete=models.PROTECT, related_name="versions")
    state = models.CharField(max_length=16, choices=State.choices, default=State.DRAFT)
    issuer = models.CharField(max_length=255)
    client_id = models.CharField(max_length=255)
    sealed_secret = models.BinaryField()
    groups_claim = models.CharField(max_length=64)
    required_acr = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    required_amr = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    changed_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    tried_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["provider"], condition=models.Q(state="active"), name="provider_has_one_active_version"
            ),
            models.UniqueConstraint(
                fields=["provider"],
                condition=models.Q(state__in=["draft", "tried"]),
                name="provider_has_one_version_in_preparation",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["draft", "tried", "active", "off"]),
                name="provider_version_state_is_a_known_one",
            ),
        ]


class EmailDomain(models.Model):
    """A domain of e-mail addresses that the operator confirmed to be a tenant's. One domain, one tenant."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="email_domains")
    domain = models.CharField(max_length=253, unique=True)
    confirmed_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    confirmed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(domain=Lower("domain")), name="email_domain_is_in_lower_case")
        ]

    def __str__(self) -> str:
        return self.domain


class GroupRule(models.Model):
    """What members of a provider's group are: of a tenant, with a role there; `tenant` empty: operators, of a role of
    theirs.

    Of a tenant's own provider, only that tenant's. Empty `projects` and `in_all_projects`: the whole tenant.
    """

    provider = models.ForeignKey(IdentityProvider, on_delete=models.PROTECT, related_name="group_rules")
    group = models.CharField(max_length=255)
    tenant = models.ForeignKey(Tenant, null=True, blank=True, on_delete=models.PROTECT, related_name="group_rules")
    role = models.CharField(max_length=32)
    in_all_projects = models.BooleanField(default=True)
    projects = models.ManyToManyField(Project, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "group", "tenant"],
                name="group_rule_is_one_a_group_and_tenant",
                nulls_distinct=False,
            )
        ]
