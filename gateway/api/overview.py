"""The figures of the console's first page: this month's money, the last day, the last thirty, and what needs care."""

from dataclasses import replace
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.usage.overview import BUDGETS_MAX, DAYS, Totals, overview
from billing.usage.records import reader_of_member
from gateway.api.budgets import BudgetSerializer, lookups_for
from gateway.api.problems import errors_of
from gateway.api.view import ApiView
from identity.concerns import COUNTED_MAX, concerns_of
from identity.permissions import Permission


class MonthSerializer(serializers.Serializer[Any]):
    """This month's money, in nano-EUR."""

    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    spent_nano_eur = serializers.IntegerField()
    reserved_nano_eur = serializers.IntegerField(help_text="For requests under way.")
    projected_nano_eur = serializers.IntegerField(
        help_text="What the month comes to if it goes on like the last seven days."
    )
    limit_nano_eur = serializers.IntegerField(allow_null=True, help_text="The month's budget; null: there is none.")
    is_hard = serializers.BooleanField(help_text="Whether the budget refuses what would pass it.")


class PulseSerializer(serializers.Serializer[Any]):
    """Now, the last hour and the last day."""

    running = serializers.IntegerField(help_text="Requests under way.")
    first_token_p50_ms = serializers.IntegerField(allow_null=True, help_text="Of the last hour; null: there were none.")
    first_token_p95_ms = serializers.IntegerField(allow_null=True)
    refusals = serializers.IntegerField(help_text="In the last 24 hours.")
    refusals_before = serializers.IntegerField(help_text="In the 24 hours before.")
    commonest_code = serializers.CharField(help_text="Of the last day's refusals; empty: there were none.")


class TotalsSerializer(serializers.Serializer[Any]):
    """Requests added up."""

    requests = serializers.IntegerField()
    failed_requests = serializers.IntegerField(source="failed")
    cost_nano_eur = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField(source="input_tokens")
    completion_tokens = serializers.IntegerField(source="output_tokens")


class ModelTotalsSerializer(TotalsSerializer):
    """What was used of a model."""

    model = serializers.CharField()


class DayTotalsSerializer(ModelTotalsSerializer):
    """What was used of a model on a day of the organisation's time zone."""

    day = serializers.DateField()


class ConcernsSerializer(serializers.Serializer[Any]):
    """What needs somebody's care. Of keys, those of this key's project; what it may not read counts as 0."""

    expiring_keys = serializers.IntegerField(help_text=f"Within 14 days. Counts stop at {COUNTED_MAX}.")
    first_expires_at = serializers.DateTimeField(allow_null=True)
    unanswered_keys = serializers.IntegerField(help_text="Nobody answers for them.")
    unused_keys = serializers.IntegerField(help_text="For 90 days.")
    webhooks_off = serializers.IntegerField()


class OverviewSerializer(serializers.Serializer[Any]):
    """Where the organisation stands."""

    month = MonthSerializer()
    pulse = PulseSerializer()
    last_day = TotalsSerializer(help_text="The last 24 hours.")
    last_days = TotalsSerializer(help_text=f"The last {DAYS} days.")
    models = ModelTotalsSerializer(many=True, help_text=f"In the last {DAYS} days, the most tokens first.")
    days = DayTotalsSerializer(many=True)
    budgets = BudgetSerializer(many=True, help_text=f"The {BUDGETS_MAX} of which most is used.")
    concerns = ConcernsSerializer()


class OverviewView(ApiView):
    """`/api/overview`."""

    @extend_schema(
        operation_id="overview_read",
        summary="Read where the organisation stands",
        tags=["Usage"],
        responses={200: OverviewSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Read this month's money, the last day and the last thirty, and what needs care. Needs `usage:read:tenant`."""
        caller, now = self.caller(request), timezone.now()
        caller.require(Permission.USAGE_READ_TENANT)
        found = overview(reader_of_member(replace(caller, project_ids=None)), now=now)
        shown = {
            "month": MonthSerializer(found.month).data,
            "pulse": PulseSerializer(found.pulse).data,
            "last_day": TotalsSerializer(found.last_day).data,
            "last_days": TotalsSerializer(found.last_days).data,
            "models": [_named(totals) | {"model": model} for model, totals in found.models],
            "days": [_named(one.totals) | {"model": one.model, "day": one.day.isoformat()} for one in found.days],
            "budgets": BudgetSerializer(found.budgets, many=True, context=lookups_for(caller, found.budgets)).data,
            "concerns": ConcernsSerializer(concerns_of(caller, now=now)).data,
        }
        return Response(shown)


def _named(totals: Totals) -> dict[str, Any]:
    return dict(TotalsSerializer(totals).data)
