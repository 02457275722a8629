"""Tiers, for those who run the platform: made, changed, withdrawn, by their code."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.contracts.tier_changes import (
    DESCRIPTION_LENGTH_MAX,
    LIMITS_MAX,
    NAME_LENGTH_MAX,
    TierWish,
    put_tier,
    renew_contracts,
    tier_with_contracts,
    tiers_with_contracts,
)
from billing.credit.orders import SMALLEST_TOP_UP
from billing.limits.budgets import HIGHEST_LIMIT
from billing.limits.limits import HIGHEST_AMOUNT
from billing.models import Limit, Tier
from gateway.api.operator.view import OperatorApiView, page_of
from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, StrictMember, StrictSerializer, TextField, YesNoField

CODE = OpenApiParameter("code", str, "path", description="Lower case, digits and hyphens: 32 at most.")
_CARD_HELP = "The price list of contracts that start on it, by name; empty: the reference list."


class OfferedLimitSerializer(StrictMember):
    """A limit that a contract brings to its organisation."""

    what = serializers.ChoiceField(choices=Limit.What.values)
    window = serializers.ChoiceField(
        choices=Limit.Window.values, help_text="`none`, and only it, for requests at once."
    )
    amount = serializers.IntegerField(min_value=0, max_value=HIGHEST_AMOUNT)


class OperatedTierSerializer(serializers.Serializer[Any]):
    """An offer. Money is whole numbers of nano-EUR."""

    code = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    monthly_cap_nano_eur = serializers.IntegerField(
        allow_null=True, help_text="What a month may never pass; null: none."
    )
    prepaid_nano_eur = serializers.IntegerField(
        allow_null=True, help_text="The least first top-up, as requests are paid from credit; null: billed afterwards."
    )
    limits = OfferedLimitSerializer(many=True)
    rate_card = serializers.CharField(source="rate_card.name", default="", help_text=_CARD_HELP)
    by_agreement = serializers.BooleanField(help_text="Nobody takes it without having agreed with the operator.")
    is_offered = serializers.SerializerMethodField(help_text="Whether contracts may start on it.")
    version = serializers.IntegerField(help_text="Rises with the limits and the cap.")
    organisations = serializers.IntegerField(help_text="With a contract of it in force.")
    earlier = serializers.IntegerField(help_text="Of these, how many have limits and cap of an earlier version.")

    def get_is_offered(self, tier: Tier) -> bool:
        """See above."""
        return tier.withdrawn_at is None


class OperatedTierPageSerializer(serializers.Serializer[Any]):
    """Tiers, in the order in which they came."""

    results = OperatedTierSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class WishedTierSerializer(StrictSerializer):
    """How a tier is to be, all of it: what is left out is as it says here."""

    name = TextField(max_length=NAME_LENGTH_MAX)
    description = TextField(required=False, allow_blank=True, max_length=DESCRIPTION_LENGTH_MAX)
    monthly_cap_nano_eur = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=HIGHEST_LIMIT, help_text="Left out or null: no cap."
    )
    prepaid_nano_eur = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=SMALLEST_TOP_UP,
        max_value=HIGHEST_LIMIT,
        help_text="The least first top-up of a tier that is paid in advance. Left out or null: billed afterwards. "
        "Which of the two is fixed once somebody has the tier or awaits it.",
    )
    limits = serializers.ListField(
        required=False,
        child=OfferedLimitSerializer(),
        max_length=LIMITS_MAX,
        help_text="One of a kind and window; left out: none.",
    )
    rate_card = TextField(required=False, allow_blank=True, max_length=100, help_text=_CARD_HELP)
    by_agreement = YesNoField(required=False, help_text="Left out: no.")
    is_offered = YesNoField(required=False, help_text="`false` withdraws it; left out: yes. Contracts in force go on.")


class RenewedSerializer(serializers.Serializer[Any]):
    """What a renewal did."""

    renewed = serializers.IntegerField(help_text="Contracts that have the tier's limits and cap now.")
    earlier = serializers.IntegerField(help_text="Those that are left: ask again.")


class OperatedTiersView(OperatorApiView):
    """`/api/operator/tiers`."""

    noun = "tiers"

    @extend_schema(
        operation_id="operator_tiers_list",
        summary="List tiers",
        tags=["Operator"],
        parameters=[PageQuery],
        responses={200: OperatedTierPageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List all tiers, those included that are offered no more. Needs `tiers:read`."""
        return page_of(request, tiers_with_contracts(), lambda page: OperatedTierSerializer(page, many=True).data)


class OperatedTierView(OperatorApiView):
    """`/api/operator/tiers/{code}`."""

    noun = "tiers"

    @extend_schema(
        operation_id="operator_tiers_read",
        summary="Read one tier",
        tags=["Operator"],
        parameters=[CODE],
        responses={200: OperatedTierSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, code: str) -> Response:
        """Read one tier. Needs `tiers:read`."""
        return Response(OperatedTierSerializer(tier_with_contracts(code)).data)

    @extend_schema(
        operation_id="operator_tiers_put",
        summary="Make a tier, or change it",
        tags=["Operator"],
        parameters=[CODE],
        request=WishedTierSerializer,
        responses={
            200: OperatedTierSerializer,
            201: OperatedTierSerializer,
            **errors_of(400, 401, 403, 404, 409, 413, 415),
        },
    )
    def put(self, request: Request, code: str) -> Response:
        """Make the tier as it is described, or change what differs; the same again changes nothing. Contracts in force
        keep the limits, cap and prices that they have until they are renewed. Needs `tiers:write`.
        """
        asked = WishedTierSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        _, is_new, _ = put_tier(by=self.operator(request), code=code, wish=TierWish(**asked.validated_data))
        return Response(OperatedTierSerializer(tier_with_contracts(code)).data, status=201 if is_new else 200)


class RenewTierView(OperatorApiView):
    """`/api/operator/tiers/{code}/renew`."""

    noun = "tiers"

    @extend_schema(
        operation_id="operator_tiers_renew",
        summary="Bring a changed tier to its contracts",
        tags=["Operator"],
        parameters=[CODE],
        request=None,
        responses={200: RenewedSerializer, **errors_of(401, 403, 404)},
    )
    def post(self, request: Request, code: str) -> Response:
        """Give the contracts that have an earlier version of the tier its limits and its cap, some hundred a call. Each
        keeps its price list and what its organisation set itself. Needs `tiers:write`.
        """
        renewed = renew_contracts(by=self.operator(request), tier=tier_with_contracts(code))
        return Response(RenewedSerializer({"renewed": renewed.done, "earlier": renewed.left}).data)
