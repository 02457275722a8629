"""Which models an organisation, or the organisations of a tier, can call, and why."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.contracts.tier_changes import tier_with_contracts
from billing.pricing import METERS
from gateway.api.operator.tiers import CODE
from gateway.api.operator.view import OperatorApiView, tenant_of
from gateway.api.problems import errors_of
from gateway.pools.sight import Hindrance, Reason, models_seen_by, models_seen_on

_METERS = ", ".join(f"`{meter}`" for meter in METERS)


class SeenModelSerializer(serializers.Serializer[Any]):
    """A published model that is seen."""

    id = serializers.CharField(source="model.name")
    reasons = serializers.ListField(
        child=serializers.ChoiceField(choices=[one.value for one in Reason]),
        help_text="Why it is seen: it is for everybody, for the tier, for the organisation itself, or agreed.",
    )
    is_callable = serializers.BooleanField(help_text="Whether a key may call it now, budgets and limits aside.")
    hindrances = serializers.ListField(
        child=serializers.ChoiceField(choices=[one.value for one in Hindrance]), help_text="Why it cannot be called."
    )
    nano_eur_per_million = serializers.DictField(
        source="prices",
        child=serializers.IntegerField(),
        help_text=f"On the price list that applies, by meter: {_METERS}.",
    )


class SeenModelsSerializer(serializers.Serializer[Any]):
    """All of them, what can be called first."""

    results = SeenModelSerializer(many=True)


class OperatedTenantModelsView(OperatorApiView):
    """`/api/operator/tenants/{external_id}/models`."""

    noun = "tenants"

    @extend_schema(
        operation_id="operator_tenants_models",
        summary="List the models that an organisation sees",
        tags=["Operator"],
        responses={200: SeenModelsSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, external_id: str) -> Response:
        """List them with the reason and the price of its contract. Needs `tenants:read`."""
        return Response(SeenModelsSerializer({"results": models_seen_by(tenant_of(external_id))}).data)


class OperatedTierModelsView(OperatorApiView):
    """`/api/operator/tiers/{code}/models`."""

    noun = "tiers"

    @extend_schema(
        operation_id="operator_tiers_models",
        summary="List the models that a tier shows",
        tags=["Operator"],
        parameters=[CODE],
        responses={200: SeenModelsSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, code: str) -> Response:
        """List what organisations with a contract of it see, at its price list. Needs `tiers:read`."""
        return Response(SeenModelsSerializer({"results": models_seen_on(tier_with_contracts(code))}).data)
