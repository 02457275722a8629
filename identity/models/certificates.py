"""Certificates of the servers that the installation, or its clients, meet over TLS."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _


class Certificate(models.Model):
    """What a server showed when it was looked at last; written by `identity/certificates.py` alone.

    `error`: why nothing was seen, in English; then the rest is what was seen before.
    """

    class UsedFor(models.TextChoices):
        PUBLIC = "public", _("public address")
        PROVIDER = "provider", _("identity provider")
        ENGINE = "engine", _("engine")
        COLLECTOR = "collector", _("collector of the audit")

    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField()
    used_for = models.CharField(max_length=16, choices=UsedFor.choices)
    names = ArrayField(models.CharField(max_length=255), default=list)
    issuer = models.CharField(max_length=300, blank=True)
    ends_at = models.DateTimeField(null=True)
    looked_at = models.DateTimeField()
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "port"], name="certificate_is_one_a_server")]

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
