"""What a tenant's directory provisions by SCIM 2.0 (RFC 7643, 7644): its credentials, and whom it knows here."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower

from identity.models.people import Person
from identity.models.tenants import Tenant


class ScimToken(models.Model):
    """A bearer token of a tenant's directory, of which only a digest is stored.

    `made_by_owner`: only such a token ends, or gives, the membership of an owner.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="scim_tokens")
    name = models.CharField(max_length=200)
    digest = models.BinaryField(max_length=32, unique=True)
    made_by_owner = models.BooleanField()
    created_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class ScimUser(models.Model):
    """A person as a tenant's directory calls them. They are active while they are a member of the tenant.

    `made_person`: the directory brought the person, so that it may also name them.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="scim_users")
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="scim_users")
    user_name = models.CharField(max_length=254)
    external_id = models.CharField(max_length=254, blank=True)
    display_name = models.CharField(max_length=200, blank=True)
    roles = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    made_person = models.BooleanField()
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "person"], name="scim_user_is_one_a_person_and_tenant"),
            models.UniqueConstraint("tenant", Lower("user_name"), name="scim_user_name_is_one_a_tenant"),
        ]
        indexes = [models.Index(fields=["tenant", "external_id"], name="scim_user_by_external_id")]
