"""Credentials."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from identity.models.people import Person
from identity.models.tenants import Project, Tenant


class ApiKey(models.Model):
    """A credential for inference and the API: `bfr_<lookup>_<secret>_<crc>`, of which only `lookup` and an HMAC are
    stored.

    `owner` is empty for a project's key, which has a `responsible` person instead. Empty `allowed_models`, `ip_ranges`
    mean "no restriction"; empty `origins` means that no browser may use the key. `policy_version` rises with every
    change (a database trigger sees to it). After a rotation the secret before works until `previous_ends_at`; its
    digest stays until the next one, so that whoever still sends it is told why it is refused. `rotation_request` says
    which request made the last rotation (`key_rotation.py`).
    """

    class Kind(models.TextChoices):
        API = "api", _("key")
        PLAYGROUND = "playground", _("playground")  # of "Try it": one a person and project, in no list

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
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.API, db_default=Kind.API)
    responsible = models.ForeignKey(
        Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    previous_digest = models.BinaryField(max_length=32, null=True)
    previous_pepper_id = models.PositiveSmallIntegerField(null=True)
    previous_ends_at = models.DateTimeField(null=True, blank=True)
    rotated_at = models.DateTimeField(null=True, blank=True)
    rotation_request = models.CharField(max_length=64, blank=True, default="", db_default="")
    blocked_at = models.DateTimeField(null=True, blank=True)
    blocked_reason = models.CharField(max_length=200, blank=True, default="", db_default="")

    # Not a column: `api_keys.authenticate` says so of the key that it answers.
    asked_with_previous_secret = False

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~models.Q(lookup=""), name="api_key_has_a_lookup"),
            models.CheckConstraint(
                condition=models.Q(previous_digest=None, previous_pepper_id=None, previous_ends_at=None)
                | models.Q(
                    previous_digest__isnull=False,
                    previous_pepper_id__isnull=False,
                    previous_ends_at__isnull=False,
                    rotated_at__isnull=False,
                ),
                name="api_key_previous_secret_is_whole",
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=["api", "playground"]), name="api_key_kind_is_a_known_one"
            ),
            models.CheckConstraint(
                condition=models.Q(blocked_at=None, blocked_reason="")
                | (models.Q(blocked_at__isnull=False) & ~models.Q(blocked_reason="")),
                name="api_key_is_blocked_for_a_reason",
            ),
        ]
        # Gateways poll for what was changed since a version.
        indexes = [
            models.Index(fields=["policy_version"], name="api_key_by_policy_version"),
            # Lists of a large tenant: all, and those of a state that few are in.
            models.Index(fields=["tenant", "-id"], name="api_key_by_tenant", condition=models.Q(kind="api")),
            models.Index(
                fields=["tenant", "-id"], name="api_key_revoked", condition=models.Q(revoked_at__isnull=False)
            ),
            models.Index(
                fields=["tenant", "-id"], name="api_key_blocked", condition=models.Q(blocked_at__isnull=False)
            ),
            models.Index(
                fields=["tenant", "expires_at"], name="api_key_by_expiry", condition=models.Q(revoked_at=None)
            ),
            models.Index(
                fields=["tenant", "previous_ends_at"],
                name="api_key_by_rotation",
                condition=models.Q(previous_ends_at__isnull=False),
            ),
            models.Index(
                fields=["tenant", "responsible"],
                name="api_key_by_responsible",
                condition=models.Q(owner=None, revoked_at=None, kind="api"),
            ),
            models.Index(fields=["project"], name="api_key_live_by_project", condition=models.Q(revoked_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.name} (bfr_{self.lookup}_…)"


class KeyUse(models.Model):
    """When a key was last used: by its secret, and by the secret before. Written by `touch_keys_v1` alone, about once a
    minute, and apart from the key: a use changes no policy version. No row: never used.

    `used_hour` is the hour (UTC) of the later of the two, by a trigger: lists are sorted by it. An index of the exact
    times would be written with each use.
    """

    key = models.OneToOneField(
        ApiKey, primary_key=True, on_delete=models.CASCADE, related_name="use", db_constraint=False
    )
    last_used_at = models.DateTimeField(null=True)
    previous_last_used_at = models.DateTimeField(null=True)
    used_hour = models.DateTimeField(null=True, editable=False)

    class Meta:
        indexes = [models.Index(fields=["-used_hour", "-key"], name="key_use_by_hour")]


class TenantKeyRules(models.Model):
    """What a tenant demands of its keys; no row: nothing. See `identity/key_rules.py`."""

    class Creators(models.TextChoices):
        DEVELOPERS = "developers", _("developers and administrators")
        ADMINISTRATORS = "administrators", _("administrators only")

    tenant = models.OneToOneField(Tenant, primary_key=True, on_delete=models.CASCADE, related_name="key_rules")
    longest_life_days = models.PositiveSmallIntegerField(null=True, blank=True)
    default_life_days = models.PositiveSmallIntegerField(null=True, blank=True)
    ip_ranges = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    creators = models.CharField(max_length=16, choices=Creators.choices, default=Creators.DEVELOPERS)
    personal_keys = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(creators__in=["developers", "administrators"]),
                name="key_rules_creators_are_known_ones",
            ),
            models.CheckConstraint(
                condition=models.Q(longest_life_days=None) | models.Q(longest_life_days__gt=0),
                name="key_rules_longest_life_is_a_life",
            ),
        ]
