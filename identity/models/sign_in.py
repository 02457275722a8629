"""How people come in, and who is in."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from identity.models.people import Person
from identity.models.providers import IdentityProvider
from identity.models.tenants import Tenant


class SignInLink(models.Model):
    """A one-time sign-in link of a demo installation; only a digest of its secret is stored."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    digest = models.BinaryField(max_length=32, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)


class LinkedIdentity(models.Model):
    """Whom an issuer's subject is here. A person has at most one subject of an issuer: addresses are given to
    newcomers, and who gets one must not get the account of whoever had it before.
    """

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=255)
    subject = models.CharField(max_length=255)
    linked_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["issuer", "subject"], name="identity_is_one_person"),
            models.UniqueConstraint(fields=["person", "issuer"], name="person_has_one_identity_of_an_issuer"),
        ]


class SignIn(models.Model):
    """A session of a person, from sign-in to its end. The session itself counts only while this row is open.

    `digest` is the SHA-256 of the session's key; `sid` is the provider's name for its own session.
    """

    class Door(models.TextChoices):
        PROVIDER = "provider", _("identity provider")
        LINK = "link", _("one-time link")
        BREAK_GLASS = "break_glass", _("break-glass")

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="sign_ins")
    digest = models.BinaryField(max_length=32, unique=True)
    door = models.CharField(max_length=16, choices=Door.choices)
    provider = models.ForeignKey(IdentityProvider, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    subject = models.CharField(max_length=255, blank=True)
    sid = models.CharField(max_length=255, blank=True)
    acr = models.CharField(max_length=200, blank=True)
    amr = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    mfa_seen = models.BooleanField(default=False)
    address = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=100, blank=True)
    began_at = models.DateTimeField()
    checked_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(max_length=32, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["person", "-began_at"], name="sign_in_by_person"),
            models.Index(fields=["provider", "sid"], name="sign_in_by_sid", condition=models.Q(ended_at=None)),
        ]


class AccessRequest(models.Model):
    """Somebody who signed in but belongs nowhere, and asks to be let into a tenant."""

    class Outcome(models.TextChoices):
        OPEN = "open", _("open")
        APPROVED = "approved", _("approved")
        REFUSED = "refused", _("refused")

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="access_requests")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="access_requests")
    message = models.CharField(max_length=500, blank=True)
    outcome = models.CharField(max_length=16, choices=Outcome.choices, default=Outcome.OPEN)
    created_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["person", "tenant"],
                condition=models.Q(outcome="open"),
                name="access_request_is_open_once",
            )
        ]


class LocalAdministrator(models.Model):
    """The break-glass account: the one person with a password here, and a second factor. There is at most one.

    `sealed_secret` is the TOTP secret, sealed for "identity.break_glass"; `last_step` the last 30-second step whose
    code was used, so that none works twice.
    """

    person = models.OneToOneField(Person, on_delete=models.CASCADE, related_name="+")
    is_the_one = models.BooleanField(default=True, unique=True)
    password_hash = models.CharField(max_length=255)
    sealed_secret = models.BinaryField()
    last_step = models.BigIntegerField(default=0)
    made_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(is_the_one=True), name="local_administrator_is_the_only_one")
        ]


class BreakGlassTry(models.Model):
    """A try of the break-glass page, kept for as long as it counts against the next one."""

    address = models.GenericIPAddressField(null=True, blank=True)
    at = models.DateTimeField(db_index=True)
