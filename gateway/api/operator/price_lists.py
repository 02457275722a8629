"""Price lists, for those who run the platform: which there are, another one, and all that stands on one."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import PriceVersion, RateCard
from billing.models.prices import Mode
from billing.money import NotAnAmount
from billing.prices.price_lists import NAME_LENGTH_MAX, ONCE, described, make_price_list, parse_factor, price_list
from billing.pricing import METERS
from gateway.api.operator.view import OperatorApiView, page_of
from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, StrictSerializer, TextField
from identity.errors import Invalid

LIST_ID = OpenApiParameter("list_id", int, "path", description="The id of a price list.")
METER_NAMES = ", ".join(f"`{meter}`" for meter in METERS)
BY_MINUTE_HELP = "Whether each request's audio is billed as whole minutes, the last one begun; otherwise by exact time."


class OperatedPriceListSerializer(serializers.Serializer[Any]):
    """A price list, and who pays by it."""

    id = serializers.IntegerField(source="card.pk")
    name = serializers.CharField(source="card.name", help_text="Tiers and contracts name it so.")
    is_reference = serializers.BooleanField(
        source="card.is_reference", help_text="Whether it is that of all who agreed on no other."
    )
    models = serializers.IntegerField(help_text="How many have a price on it now.")
    tiers = serializers.SerializerMethodField(help_text="The codes of those whose contracts start at these prices.")
    organisations = serializers.IntegerField(help_text="With a contract at these prices in force.")
    next_change = serializers.DateTimeField(allow_null=True, help_text="When the first scheduled prices start.")

    def get_tiers(self, one: Any) -> list[str]:
        """By code."""
        return [tier.code for tier in one.tiers]


class OperatedPriceListPageSerializer(serializers.Serializer[Any]):
    """Price lists, in the order in which they were made."""

    results = OperatedPriceListSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class NewPriceListSerializer(StrictSerializer):
    """A price list to be made."""

    name = TextField(max_length=NAME_LENGTH_MAX)
    copy_of = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, help_text="The id of a list whose prices in force are copied."
    )
    factor = TextField(
        required=False, max_length=12, help_text="What each copied price is multiplied by, such as `0.9`; 6 decimals."
    )

    def validate_factor(self, text: str) -> int:
        """In millionths. Raises ValidationError."""
        try:
            return parse_factor(text)
        except NotAnAmount:
            raise serializers.ValidationError("A decimal number such as 0.9, with at most six decimals.") from None


class OperatedVersionSerializer(serializers.Serializer[Any]):
    """The prices of a model in a mode, from a day on; they never change, others follow them."""

    id = serializers.IntegerField(source="pk", help_text="Usage records name it.")
    model = serializers.CharField(source="model.name", help_text="Its id.")
    mode = serializers.ChoiceField(choices=Mode.values)
    valid_from = serializers.DateTimeField()
    valid_until = serializers.DateTimeField(allow_null=True, help_text="When others follow; null: none do so far.")
    nano_eur_per_million = serializers.SerializerMethodField(help_text=f"By meter: {METER_NAMES}.")
    audio_by_started_minute = serializers.BooleanField(help_text=BY_MINUTE_HELP)
    reason = serializers.CharField(help_text="Why they were changed; mostly empty.")

    def get_nano_eur_per_million(self, version: PriceVersion) -> dict[str, int]:
        """By meter."""
        return {price.meter: price.nano_eur_per_million for price in version.prices.all()}


class OperatedVersionPageSerializer(serializers.Serializer[Any]):
    """Versions, in the order in which they were added."""

    results = OperatedVersionSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class OperatedPriceListsView(OperatorApiView):
    """`/api/operator/price-lists`."""

    noun = "prices"

    @extend_schema(
        operation_id="operator_price_lists_list",
        summary="List price lists",
        tags=["Operator"],
        parameters=[PageQuery],
        responses={200: OperatedPriceListPageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List all price lists with who pays by each. Needs `prices:read`."""
        cards = RateCard.objects.order_by("pk")
        return page_of(request, cards, lambda page: OperatedPriceListSerializer(described(page), many=True).data)

    @extend_schema(
        operation_id="operator_price_lists_make",
        summary="Make a price list",
        tags=["Operator"],
        request=NewPriceListSerializer,
        responses={201: OperatedPriceListSerializer, **errors_of(400, 401, 403, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Make a price list: empty, or with the prices in force on another, each times a factor. 409 where there is one
        of this name. Nobody pays by it until a tier or a contract names it. Needs `prices:write`.
        """
        asked = NewPriceListSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        copied = RateCard.objects.filter(pk=given["copy_of"]).first() if given.get("copy_of") else None
        if given.get("copy_of") and copied is None:
            raise Invalid("copy_of", "There is no price list of this id.")
        factor = given.get("factor", ONCE)
        made = make_price_list(by=self.operator(request), name=given["name"], copy_of=copied, factor_millionths=factor)
        return Response(OperatedPriceListSerializer(price_list(made.pk)).data, status=201)


class OperatedPriceListView(OperatorApiView):
    """`/api/operator/price-lists/{list_id}`."""

    noun = "prices"

    @extend_schema(
        operation_id="operator_price_lists_read",
        summary="Read one price list",
        tags=["Operator"],
        parameters=[LIST_ID],
        responses={200: OperatedPriceListSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, list_id: int) -> Response:
        """Read who pays by it. Its prices are at `/api/operator/price-lists/{list_id}/prices`. Needs `prices:read`."""
        return Response(OperatedPriceListSerializer(price_list(list_id)).data)
