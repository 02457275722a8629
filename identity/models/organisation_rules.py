"""Organisations that groups of the shared provider make and fill, by rules that the operator writes."""

from django.db import models

from identity.models.people import Role
from identity.models.tenants import Tenant


class OrganisationRule(models.Model):
    """What groups of the shared provider with such names are: of which organisation, with which role there. Written by
    `billing/tenants/organisation_rules.py`, applied by `group_organisations.py` there and `identity/group_feeds.py`.

    `pattern`: a group's name with one `*`, which stands for the organisation. `makes`: also makes the one that there is
    not, of `tier` (a code), `time_zone` and `name_pattern` (with one `*` for what stands there), `made_max` in all.
    `id_pattern`: its external id, likewise. `joins`: the code of the rule whose organisations it is about; "": its own,
    which no other rule reaches that does not join it. One that joins makes none, and nothing joins it.
    """

    code = models.CharField(max_length=63, unique=True)
    pattern = models.CharField(max_length=255, unique=True)
    role = models.CharField(max_length=16, choices=Role.choices)
    makes = models.BooleanField()
    tier = models.CharField(max_length=32, blank=True)
    time_zone = models.CharField(max_length=64)
    name_pattern = models.CharField(max_length=120)
    made_max = models.PositiveIntegerField()
    joins = models.CharField(max_length=63, blank=True, default="", db_default="")
    id_pattern = models.CharField(max_length=63, default="*", db_default="*")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(role__in=["owner", "administrator", "developer", "finance", "auditor"]),
                name="organisation_rule_role_is_a_known_one",
            ),
            models.CheckConstraint(
                condition=models.Q(pattern__regex=r"^[^*]*[*][^*]*$"), name="organisation_rule_pattern_has_one_star"
            ),
            models.CheckConstraint(
                condition=models.Q(makes=False) | ~models.Q(tier=""), name="organisation_rule_that_makes_has_a_tier"
            ),
        ]

    def __str__(self) -> str:
        return self.pattern


class GroupFeed(models.Model):
    """That an organisation rule gives memberships in a tenant: because it made it (`is_made`), or because an operator
    said so. A tenant without such a row is never touched by rules; nor by others than `rule` and those that join it.
    Without a rule (it is gone) nothing is given.

    `word`: what the rule's `id_pattern` made of the names of groups, once and for all. `gives_administrators`: rules
    may make owners and administrators too; not where somebody owned the tenant before.
    """

    tenant = models.OneToOneField(Tenant, on_delete=models.PROTECT, related_name="group_feed")
    word = models.CharField(max_length=63, unique=True)
    rule = models.ForeignKey(OrganisationRule, null=True, on_delete=models.SET_NULL, related_name="feeds")
    gives_administrators = models.BooleanField()
    is_made = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.word
