"""Budgets (an amount a period) and limits (a rate or quota), each on a tenant, a project or a key."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Value
from django.utils.translation import gettext_lazy as _


class Scope(models.TextChoices):
    """What a budget or a limit binds."""

    TENANT = "tenant", _("organisation")
    PROJECT = "project", _("project")
    KEY = "key", _("key")


class Budget(models.Model):
    """An amount a period on a scope. `is_hard` false: alerts only, never refuses.

    `scope_id` is the id of the tenant, project or key; no foreign key, as the ledger reads this table at every
    admission.
    `may_lower_output`: where money is short, a client's own output limit may be lowered too (I3). `alert_percents`: of
    the limit, spent; people are told at each (`billing/limits/alerts.py`).
    """

    class Period(models.TextChoices):
        DAY = "day", _("day")
        WEEK = "week", _("week")
        MONTH = "month", _("month")
        QUARTER = "quarter", _("quarter")
        YEAR = "year", _("year")
        ONCE = "once", _("once")

    tenant_id = models.BigIntegerField()
    scope = models.CharField(max_length=16, choices=Scope.choices)
    scope_id = models.BigIntegerField()
    period = models.CharField(max_length=16, choices=Period.choices, default=Period.MONTH)
    limit_nano_eur = models.BigIntegerField()
    is_hard = models.BooleanField(default=True)
    may_lower_output = models.BooleanField(default=False)
    source = models.CharField(max_length=32, default="set")
    alert_percents = ArrayField(models.PositiveSmallIntegerField(), db_default=Value("{80,100}"), blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["tenant_id"], name="budget_by_tenant")]
        constraints = [
            models.UniqueConstraint(
                fields=["scope", "scope_id", "period", "source"],
                condition=models.Q(is_active=True),
                name="budget_is_one_a_scope_and_period",
            ),
            models.CheckConstraint(
                condition=models.Q(limit_nano_eur__gte=0, limit_nano_eur__lte=10**18),
                name="budget_limit_is_a_sane_amount",
            ),
        ]


class BudgetPeriod(models.Model):
    """A period `[starts_at, ends_at)` of a budget, made on first use by `admit`. `cap_nano_eur` empty: alert-only.

    PostgreSQL holds `spent + held <= cap` by a CHECK (I3).
    """

    budget_id = models.BigIntegerField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    limit_nano_eur = models.BigIntegerField()
    cap_nano_eur = models.BigIntegerField(null=True)
    spent_nano_eur = models.BigIntegerField(default=0)
    held_nano_eur = models.BigIntegerField(default=0)

    class Meta:
        managed = False
        db_table = "billing_budget_period"


class Limit(models.Model):
    """A rate or quota on a scope: at most `amount` of `what` a `window` (empty for requests at once)."""

    class What(models.TextChoices):
        REQUESTS = "requests", _("requests")
        TOKENS = "tokens", _("tokens")
        OUTPUT_TOKENS = "output_tokens", _("output tokens")
        CONCURRENT = "concurrent", _("requests at once")

    class Window(models.TextChoices):
        MINUTE = "minute", _("minute")
        HOUR = "hour", _("hour")
        DAY = "day", _("day")
        MONTH = "month", _("month")
        NONE = "none", _("at once")

    tenant_id = models.BigIntegerField()
    scope = models.CharField(max_length=16, choices=Scope.choices)
    scope_id = models.BigIntegerField()
    what = models.CharField(max_length=16, choices=What.choices)
    window = models.CharField(max_length=16, choices=Window.choices)
    amount = models.BigIntegerField()
    source = models.CharField(max_length=32, default="set")
    is_active = models.BooleanField(default=True)

    class Meta:
        indexes = [models.Index(fields=["tenant_id"], name="limit_by_tenant")]
        constraints = [
            models.UniqueConstraint(
                fields=["scope", "scope_id", "what", "window", "source"],
                condition=models.Q(is_active=True),
                name="limit_is_one_a_scope_and_window",
            ),
            models.CheckConstraint(condition=models.Q(amount__gte=0), name="limit_amount_is_not_negative"),
            models.CheckConstraint(
                condition=models.Q(what="concurrent", window="none")
                | (~models.Q(what="concurrent") & ~models.Q(window="none")),
                name="only_requests_at_once_have_no_window",
            ),
        ]


class LimitWindow(models.Model):
    """What is used of a limit in its current window, cut by the database's clock in the tenant's time zone."""

    limit_id = models.BigIntegerField(primary_key=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    used = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "billing_limit_window"
