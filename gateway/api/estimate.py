"""What a use of a model would cost a month, at this organisation's prices, in the arithmetic that bills it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.prices.estimates import MOST, Estimate, monthly_estimate, template_tokens
from billing.prices.visibility import visible_models
from billing.pricing import METERS, MissingPrice, Quantities
from gateway.api.catalog_view import CatalogView, catalog_view
from gateway.api.problems import errors_of
from gateway.api.queries import Query, parameters
from gateway.api.view import ApiView
from identity.errors import Conflict, NotFound
from models_catalog.catalog import model_by_name_or_alias
from models_catalog.models import LanguageModel

# As `METERS`, but for the cached part of a prompt, which nobody knows beforehand.
_ASKED = tuple(meter for meter in METERS if meter != "cached")


class EstimatesQuery(Query):
    """A request as somebody imagines it, and how many of them there are a day."""

    requests_a_day = serializers.IntegerField(required=False, default=1, min_value=0, max_value=MOST)

    def get_fields(self) -> dict[str, Any]:
        """A field a meter."""
        meters = {
            meter: serializers.IntegerField(required=False, default=0, min_value=0, max_value=MOST) for meter in _ASKED
        }
        return {**super().get_fields(), **meters}


class EstimateQuery(EstimatesQuery):
    """The same at a model."""

    model = serializers.CharField(max_length=200, help_text="An id or an alias.")


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


class EstimateOfModelSerializer(MonthlyEstimateSerializer):
    """The same at a model."""

    model = serializers.CharField()
    fits = serializers.BooleanField(help_text="Whether its context window has room for the request.")


class EstimatesSerializer(serializers.Serializer[Any]):
    """What it would cost at each model, the cheapest first."""

    results = EstimateOfModelSerializer(many=True)


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
        found = _estimate(given, model, catalog_view(tenant, [model]))
        if found is None:
            raise Conflict("the model has no price for this here")
        return Response(MonthlyEstimateSerializer(found).data)


class EstimatesView(ApiView):
    """`/api/estimates`."""

    @extend_schema(
        operation_id="estimates_list",
        summary="Compare what a use costs a month at each model",
        tags=["Models"],
        parameters=[EstimatesQuery],
        responses={200: EstimatesSerializer, **errors_of(400, 401)},
    )
    def get(self, request: Request) -> Response:
        """Estimate at every model that the organisation can call now and that has a price for these units.

        The cheapest first, those without room for a request last. It reserves and charges nothing.
        """
        given, tenant = parameters(EstimatesQuery, request), self.caller(request).tenant
        models = list(visible_models(tenant))
        view = catalog_view(tenant, models)
        tokens = given["input"] + given["output"] + given["reasoning"]
        shown = [
            asdict(found) | {"model": model.name, "fits": tokens <= model.context_window}
            for model in models
            if view.is_callable(model) and (found := _estimate(given, model, view)) is not None
        ]
        shown.sort(key=lambda one: (not one["fits"], one["month_nano_eur"], one["model"]))
        return Response({"results": EstimateOfModelSerializer(shown, many=True).data})


def _estimate(given: Mapping[str, Any], model: LanguageModel, view: CatalogView) -> Estimate | None:
    """None where the model has no price for what is asked."""
    price = view.standard_price(model)
    if price is None:
        return None
    quantities = Quantities(**{meter: given[meter] for meter in _ASKED})
    quantities = quantities._replace(input=quantities.input + template_tokens(model))
    try:
        return monthly_estimate(quantities=quantities, requests_a_day=given["requests_a_day"], prices=price.prices)
    except MissingPrice:
        return None
