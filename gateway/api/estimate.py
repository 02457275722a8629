"""What a use of a model would cost a month, at this organisation's prices, in the arithmetic that bills it."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.estimates import MOST, monthly_estimate, template_tokens
from billing.pricing import METERS, MissingPrice, Prices, Quantities
from gateway.api.catalog_view import catalog_view
from gateway.api.problems import errors_of
from gateway.api.queries import Query, parameters
from gateway.api.view import ApiView
from identity.errors import Conflict, NotFound
from identity.models import Tenant
from models_catalog.catalog import model_by_name_or_alias
from models_catalog.models import LanguageModel

# As `METERS`, but for the cached part of a prompt, which nobody knows beforehand.
_ASKED = tuple(meter for meter in METERS if meter != "cached")


class EstimateQuery(Query):
    """A request as somebody imagines it, and how many of them there are a day."""

    model = serializers.CharField(max_length=200, help_text="An id or an alias.")
    requests_a_day = serializers.IntegerField(required=False, default=1, min_value=0, max_value=MOST)

    def get_fields(self) -> dict[str, Any]:
        """A field a meter."""
        meters = {
            meter: serializers.IntegerField(required=False, default=0, min_value=0, max_value=MOST) for meter in _ASKED
        }
        return {**super().get_fields(), **meters}


class EstimateLineSerializer(serializers.Serializer[Any]):
    """A meter of one request."""

    meter = serializers.ChoiceField(choices=METERS)
    quantity = serializers.IntegerField(help_text="Input tokens include what the model's template adds to a message.")
    price_nano_eur_per_million = serializers.IntegerField(source="price")
    amount_nano_eur = serializers.IntegerField(source="amount")


class MonthlyEstimateSerializer(serializers.Serializer[Any]):
    """What one request and a month of 30 days cost. Money is whole nano-EUR."""

    lines = EstimateLineSerializer(many=True)
    requests_a_month = serializers.IntegerField()
    request_nano_eur = serializers.IntegerField()
    month_nano_eur = serializers.IntegerField()


class EstimateView(ApiView):
    """`/api/estimate`."""

    @extend_schema(
        operation_id="estimate_read",
        summary="Estimate what a use of a model costs a month",
        tags=["Models"],
        parameters=[EstimateQuery],
        responses={200: MonthlyEstimateSerializer, **errors_of(400, 401, 404, 409)},
    )
    def get(self, request: Request) -> Response:
        """Estimate from the units of a request and the requests a day. Every key may; it reserves and charges nothing.

        What a given request can cost at most says `POST /v1/estimate`.
        """
        given, tenant = parameters(EstimateQuery, request), self.caller(request).tenant
        model = model_by_name_or_alias(given["model"], tenant) if given["model"].isprintable() else None
        if model is None:
            raise NotFound("model")
        quantities = Quantities(**{meter: given[meter] for meter in _ASKED})
        quantities = quantities._replace(input=quantities.input + template_tokens(model))
        try:
            found = monthly_estimate(
                quantities=quantities, requests_a_day=given["requests_a_day"], prices=_prices(tenant, model)
            )
        except MissingPrice:
            raise Conflict("the model has no price for this here") from None
        return Response(MonthlyEstimateSerializer(found).data)


def _prices(tenant: Tenant, model: LanguageModel) -> Prices:
    price = catalog_view(tenant, [model]).standard_price(model)
    if price is None:
        raise Conflict("the model has no price here")
    return Prices(price.version_id, price.nano_eur_per_million)
