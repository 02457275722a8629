"""What all tenants were charged in a month, for those who run the platform."""

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.checks.ledger_checks import last_check
from billing.usage.platform_month import Month, PlatformUse, platform_use
from gateway.api.operator.view import OperatorApiView
from gateway.api.problems import errors_of
from gateway.api.queries import MonthField, Query, parameters


class MonthQuery(Query):
    """Which month."""

    month = MonthField(required=False, help_text="As `2026-11`; without it the present one.")


class ChargedTenantSerializer(serializers.Serializer[Any]):
    """What a tenant was charged, less what was given back."""

    slug = serializers.CharField()
    external_id = serializers.CharField(help_text="What your own systems call it; empty where nobody said.")
    name = serializers.CharField()
    requests = serializers.IntegerField()
    cost_nano_eur = serializers.IntegerField()
    cost_before_nano_eur = serializers.IntegerField(help_text="In the same days of the month before.")


class LedgerCheckSerializer(serializers.Serializer[Any]):
    """The whole ledger added up again from its records, as it is every night."""

    began_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField()
    differences = serializers.IntegerField(help_text="0: every sum agrees with its records.")
    first = serializers.CharField(help_text="The first difference; empty where there is none.")


class ChargedMonthSerializer(serializers.Serializer[Any]):
    """A month of all tenants. Its days begin at midnight UTC; a tenant's statement keeps the tenant's time zone."""

    first_day = serializers.DateField(source="month.first")
    last_day = serializers.DateField(source="month.last", help_text="Of a month that runs: today.")
    is_over = serializers.BooleanField(source="month.is_over")
    requests = serializers.IntegerField()
    cost_nano_eur = serializers.IntegerField()
    tenants = ChargedTenantSerializer(many=True, help_text="Who used something, the dearest first.")
    ledger_check = serializers.SerializerMethodField(help_text="The last one; null before the first.")

    @extend_schema_field(LedgerCheckSerializer(allow_null=True))
    def get_ledger_check(self, use: PlatformUse) -> dict[str, Any] | None:
        """Beside the month: it is of the whole ledger."""
        check = last_check()
        return LedgerCheckSerializer(check).data if check else None


class OperatedBillingView(OperatorApiView):
    """`/api/operator/billing`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_billing_read",
        summary="Read what a month came to",
        tags=["Operator"],
        parameters=[MonthQuery],
        responses={200: ChargedMonthSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """What each tenant was charged in a month so far. Needs `billing:read`."""
        today = datetime.now(UTC).date()
        day = parameters(MonthQuery, request).get("month", today)
        return Response(ChargedMonthSerializer(platform_use(Month.of(day, today=today))).data)
