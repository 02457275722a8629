"""The contract in force, and what a month comes to."""

from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.closing.terms import lines_at_closing
from billing.contracts.sheet import contract_sheet
from billing.contracts.tier_choice import choice_open
from billing.models import Limit
from billing.pricing import METERS
from billing.usage.statement import Line, statement
from gateway.api.contract_shapes import SheetSerializer, TermLineSerializer
from gateway.api.problems import errors_of
from gateway.api.queries import MonthField, Query, parameters
from gateway.api.view import ApiView
from identity.access import Caller
from identity.errors import NotFound
from identity.permissions import Permission


class TierLimitSerializer(serializers.Serializer[Any]):
    """A limit that the contract brings."""

    what = serializers.ChoiceField(choices=Limit.What.values)
    window = serializers.ChoiceField(choices=Limit.Window.values)
    amount = serializers.IntegerField()


class ContractSerializer(SheetSerializer):
    """What the organisation agreed."""

    tier = serializers.CharField(source="sheet.contract.tier.code")
    tier_name = serializers.CharField(source="sheet.contract.tier.name")
    price_list = serializers.CharField(
        source="sheet.contract.rate_card.name", help_text="`/api/models` has its prices."
    )
    starts_at = serializers.DateTimeField(source="sheet.contract.starts_at")
    monthly_cap_nano_eur = serializers.IntegerField(
        source="sheet.cap_nano_eur",
        allow_null=True,
        help_text="That the contract brought, whatever its tier says since; null: no cap.",
    )
    prepaid_nano_eur = serializers.IntegerField(
        source="sheet.contract.tier.prepaid_nano_eur",
        allow_null=True,
        help_text="The least first top-up; null: billed afterwards.",
    )
    next_tier = serializers.CharField(
        source="next.tier.code", default=None, allow_null=True, help_text="Chosen for the next month; null: none."
    )
    next_starts_at = serializers.DateTimeField(source="next.starts_at", default=None, allow_null=True)


class StatementQuery(Query):
    """Which month."""

    month = MonthField(
        required=False, help_text="Such as `2026-11`, in the organisation's time zone; left out: this month."
    )


class StatementLineSerializer(serializers.Serializer[Any]):
    """What a project used of a model in the month."""

    project_id = serializers.IntegerField()
    project = serializers.CharField()
    cost_centre = serializers.CharField()
    model = serializers.CharField()
    requests = serializers.IntegerField()
    quantities = serializers.SerializerMethodField(help_text="Units by meter.")
    cost_nano_eur = serializers.IntegerField()

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "integer"}})
    def get_quantities(self, line: Line) -> dict[str, int]:
        """Those of no unit too."""
        return dict(zip(METERS, line.quantities, strict=True))


class StatementSerializer(serializers.Serializer[Any]):
    """A month by project and model. Money is whole nano-EUR."""

    month = serializers.CharField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    lines = StatementLineSerializer(many=True)
    refunded_nano_eur = serializers.IntegerField(help_text="Given back in the month.")
    total_nano_eur = serializers.IntegerField(help_text="The lines less what was given back, before discounts.")
    term_lines = TermLineSerializer(
        many=True, help_text="Discounts and fixed lines, as they would be were the month closed now."
    )
    total_with_terms_nano_eur = serializers.IntegerField(help_text="The total with them. Taxes are no part of it.")


class ContractView(ApiView):
    """`/api/contract`."""

    @extend_schema(
        operation_id="contract_read",
        summary="Read the contract in force",
        tags=["Billing"],
        responses={200: ContractSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request) -> Response:
        """Read the tier with its limits and cap, the price list, who says so of each, and what your bill has beside
        usage. Needs `billing:read`.
        """
        tenant = _reader(self.caller(request)).tenant
        sheet = contract_sheet(tenant)
        if sheet is None:
            raise NotFound("contract")
        shown = {"sheet": sheet, "next": choice_open(tenant)}
        return Response(ContractSerializer(shown).data)


class StatementView(ApiView):
    """`/api/statement`."""

    @extend_schema(
        operation_id="statement_read",
        summary="Read a month's statement",
        tags=["Billing"],
        parameters=[StatementQuery],
        responses={200: StatementSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Read what was charged in a month, by project and model. Needs `billing:read`.

        That of a month which runs is as fresh as its last charge.
        """
        tenant, given = _reader(self.caller(request)).tenant, parameters(StatementQuery, request)
        first = given.get("month") or timezone.localdate(timezone=ZoneInfo(tenant.time_zone)).replace(day=1)
        found = statement(tenant, first)
        lines = lines_at_closing(tenant, first, found.total_nano_eur)
        shown = {
            "month": f"{first:%Y-%m}",
            "starts_at": found.starts_at,
            "ends_at": found.ends_at,
            "lines": found.lines,
            "refunded_nano_eur": found.refunded_nano_eur,
            "total_nano_eur": found.total_nano_eur,
            "term_lines": lines,
            "total_with_terms_nano_eur": found.total_nano_eur + sum(line.amount_nano_eur for line in lines),
        }
        return Response(StatementSerializer(shown).data)


def _reader(caller: Caller) -> Caller:
    caller.require(Permission.BILLING_READ)
    return caller
