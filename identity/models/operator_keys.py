"""Credentials of programs that run the platform."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from identity.models.people import Person


class OperatorKey(models.Model):
    """A key for `/api/operator/`: `bfo_<lookup>_<secret>_<crc>`, of which only `lookup` and an HMAC are stored.

    It belongs to no tenant and calls no model. It is live until it expires, which every one does, or is revoked.
    """

    name = models.CharField(max_length=200)
    lookup = models.CharField(max_length=16, unique=True)
    digest = models.BinaryField(max_length=32)
    pepper_id = models.PositiveSmallIntegerField()
    scopes = ArrayField(models.CharField(max_length=64), default=list)
    created_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=~models.Q(lookup=""), name="operator_key_has_a_lookup")]

    def __str__(self) -> str:
        return f"{self.name} (bfo_{self.lookup}_…)"
