"""Tiers as an organisation may have them: side by side on its last month, one of them taken."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.contracts.tier_choice import Hindrance, choose_tier, withdraw_choice
from billing.contracts.tier_comparison import compare_tiers
from billing.contracts.tiers import offered_tiers
from gateway.api.billing import TierLimitSerializer
from gateway.api.problems import errors_of
from gateway.api.queries import StrictSerializer, TextField
from gateway.api.view import ApiView
from identity.errors import Invalid, NotFound
from identity.permissions import Permission


class TierOfferSerializer(serializers.Serializer[Any]):
    """A tier, and last month on it. Money is whole nano-EUR."""

    tier = serializers.CharField(source="tier.code")
    name = serializers.CharField(source="tier.name")
    description = serializers.CharField(source="tier.description")
    monthly_cap_nano_eur = serializers.IntegerField(
        source="cap_nano_eur", allow_null=True, help_text="Of the one in force what the contract brought; null: no cap."
    )
    prepaid_nano_eur = serializers.IntegerField(
        source="tier.prepaid_nano_eur", allow_null=True, help_text="The least first top-up; null: billed afterwards."
    )
    limits = TierLimitSerializer(source="tier.limits", many=True)
    is_current = serializers.BooleanField(help_text="Whether the contract in force is of it.")
    bill_nano_eur = serializers.IntegerField(help_text="What last month's usage costs at its prices of today.")
    missing_models = serializers.ListField(
        source="missing",
        child=serializers.CharField(),
        help_text="That were used, and that it does not show or has no price for: they are not in the bill.",
    )
    hindrance = serializers.ChoiceField(
        choices=[one.value for one in Hindrance],
        allow_null=True,
        help_text="Why it takes the operator's word; null: it can be taken.",
    )
    starts_at = serializers.DateTimeField(allow_null=True, help_text="When it would begin; null: at once.")


class TierOffersSerializer(serializers.Serializer[Any]):
    """Tiers side by side on the usage of the last month (UTC)."""

    first = serializers.DateField()
    last = serializers.DateField()
    requests = serializers.IntegerField()
    tiers = TierOfferSerializer(source="offers", many=True)


class TierWishSerializer(StrictSerializer):
    """Which tier is wanted."""

    tier = TextField(max_length=32, help_text="Its code.")


class TierChosenSerializer(serializers.Serializer[Any]):
    """What became of it."""

    tier = serializers.CharField(source="tier.code")
    starts_at = serializers.DateTimeField(allow_null=True, help_text="Null: when its credit is paid.")
    order_id = serializers.IntegerField(
        source="order.pk", default=None, allow_null=True, help_text="Of the credit that has to be paid first."
    )
    is_in_force = serializers.BooleanField()


class TierOffersView(ApiView):
    """`/api/tiers`."""

    @extend_schema(
        operation_id="tiers_list",
        summary="Compare tiers",
        tags=["Billing"],
        responses={200: TierOffersSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the tiers that are offered, the one in force first, with what last month's usage would have cost on
        each. Needs `billing:read`.
        """
        caller = self.caller(request)
        caller.require(Permission.BILLING_READ)
        return Response(TierOffersSerializer(compare_tiers(caller.tenant)).data)


class TierChoiceView(ApiView):
    """`/api/contract/tier`."""

    @extend_schema(
        operation_id="tiers_choose",
        summary="Take another tier",
        tags=["Billing"],
        request=TierWishSerializer,
        responses={200: TierChosenSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def put(self, request: Request) -> Response:
        """Take another tier: at once where nothing of it is lower than what the contract brought, else from the next
        month. One that is prepaid begins when the payment of the order that is made with it was recorded, unless as
        much credit is there. The operator is told. Needs `tier:choose`, which only an owner's key has.
        """
        asked = TierWishSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        caller = self.caller(request)
        caller.require(Permission.TIER_CHOOSE)
        tier = offered_tiers().filter(code=asked.validated_data["tier"]).first()
        if tier is None:
            raise Invalid("tier", "There is no such tier, or it is not offered.")
        return Response(TierChosenSerializer(choose_tier(by=caller, tier=tier)).data)

    @extend_schema(
        operation_id="tiers_withdraw",
        summary="Stay on the tier in force",
        tags=["Billing"],
        responses={204: None, **errors_of(401, 403, 404)},
    )
    def delete(self, request: Request) -> Response:
        """Forget the tier that was chosen for the next month; 404 where none was. Needs `tier:choose`."""
        if not withdraw_choice(by=self.caller(request)):
            raise NotFound("choice")
        return Response(status=204)
