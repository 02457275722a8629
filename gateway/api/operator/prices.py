"""Prices on the reference list, for those who run the platform: by the id of the model."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import PriceVersion
from billing.prices.changes import REASON_LENGTH_MAX
from billing.prices.price_book import HIGHEST_PRICE, reference_prices_in_force
from billing.pricing import METERS
from gateway.api.operator.models import MODEL_ID, model_of
from gateway.api.operator.price_lists import BY_MINUTE_HELP
from gateway.api.operator.view import OperatorApiView, page_of
from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, StrictSerializer, TextField, YesNoField
from gateway.pools.publishing import set_reference_price
from identity.errors import NotFound

_METERS = ", ".join(f"`{meter}`" for meter in METERS)


class OperatedPriceSerializer(serializers.Serializer[Any]):
    """What a model costs on the reference list, now."""

    model = serializers.CharField(source="model.name", help_text="Its id.")
    version_id = serializers.IntegerField(source="pk", help_text="Usage records name it.")
    valid_from = serializers.DateTimeField()
    nano_eur_per_million = serializers.SerializerMethodField(help_text=f"By meter: {_METERS}.")
    audio_by_started_minute = serializers.BooleanField(help_text=BY_MINUTE_HELP)

    def get_nano_eur_per_million(self, version: PriceVersion) -> dict[str, int]:
        """By meter."""
        return {price.meter: price.nano_eur_per_million for price in version.prices.all()}


class OperatedPricePageSerializer(serializers.Serializer[Any]):
    """Prices, in the order of the models."""

    results = OperatedPriceSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class WishedPriceSerializer(StrictSerializer):
    """What a model is to cost from now on."""

    nano_eur_per_million = serializers.DictField(
        child=serializers.IntegerField(min_value=0, max_value=HIGHEST_PRICE),
        allow_empty=False,
        help_text=f"By meter: {_METERS}. All of them: a meter that is left out has no price, but for what an embedding "
        "or a ranking reports besides, which is free. A cached token then costs as input, a reasoning token as output.",
    )
    audio_by_started_minute = YesNoField(default=False, help_text=BY_MINUTE_HELP)
    reason = TextField(
        required=False,
        allow_blank=True,
        max_length=REASON_LENGTH_MAX,
        help_text="Why, for operators. A rise needs one where the billing settings ask for notice.",
    )


class OperatedPricesView(OperatorApiView):
    """`/api/operator/prices`."""

    noun = "prices"

    @extend_schema(
        operation_id="operator_prices_list",
        summary="List the prices in force",
        tags=["Operator"],
        parameters=[PageQuery],
        responses={200: OperatedPricePageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the reference prices of all models that have one. Needs `prices:read`."""
        rows = reference_prices_in_force()
        return page_of(request, rows, lambda page: OperatedPriceSerializer(page, many=True).data, by="model_id")


class OperatedPriceView(OperatorApiView):
    """`/api/operator/prices/{model_id}`."""

    noun = "prices"

    @extend_schema(
        operation_id="operator_prices_read",
        summary="Read what a model costs",
        tags=["Operator"],
        parameters=[MODEL_ID],
        responses={200: OperatedPriceSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, model_id: str) -> Response:
        """Read the price of a model; 404 where it has none. Needs `prices:read`."""
        return Response(_price_of(model_id))

    @extend_schema(
        operation_id="operator_prices_put",
        summary="Set what a model costs",
        tags=["Operator"],
        parameters=[MODEL_ID],
        request=WishedPriceSerializer,
        responses={200: OperatedPriceSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def put(self, request: Request, model_id: str) -> Response:
        """Set the price from now on; what was charged stays. The same again changes nothing. Those who pay are told
        where it replaces another price. Needs `prices:write`.
        """
        model = model_of(model_id)
        asked = WishedPriceSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        set_reference_price(
            model,
            prices=given["nano_eur_per_million"],
            audio_by_started_minute=given["audio_by_started_minute"],
            reason=given.get("reason", ""),
            by=self.operator(request),
        )
        return Response(_price_of(model_id))


def _price_of(model_id: str) -> dict[str, Any]:
    version = reference_prices_in_force().filter(model=model_of(model_id)).first()
    if version is None:
        raise NotFound("price")
    return dict(OperatedPriceSerializer(version).data)
