"""Credentials."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from identity.models.people import Person
from identity.models.tenants import Project, Tenant


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
