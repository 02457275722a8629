"""Where an organisation could save, from its own figures."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.prices.visibility import visible_models
from billing.usage.advice import Advice, Offer, advice
from billing.usage.records import Reader
from gateway.api.catalog_view import catalog_view
from gateway.api.problems import errors_of
from gateway.api.queries import Query, parameters
from gateway.api.view import ApiView
from identity.models import Tenant
from identity.permissions import Permission


class CheaperModelSerializer(serializers.Serializer[Any]):
    """A smaller model that takes and can do the same."""

    model = serializers.CharField()
    other = serializers.CharField(help_text="Whether its answers are good enough, only a trial shows.")
    cost_nano_eur = serializers.IntegerField()
    other_nano_eur = serializers.IntegerField()
    saving_nano_eur = serializers.IntegerField()


class MoreFromCacheSerializer(serializers.Serializer[Any]):
    """Long prompts of which little was read from the cache."""

    model = serializers.CharField()
    prompt_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    saving_nano_eur = serializers.IntegerField(help_text="Of each further tenth of the prompt tokens.")


class LowerOutputLimitSerializer(serializers.Serializer[Any]):
    """Requests that reserve far more output than they use; averages a request."""

    model = serializers.CharField()
    reserved_tokens = serializers.IntegerField()
    used_tokens = serializers.IntegerField()
    idle_nano_eur = serializers.IntegerField(help_text="Reserved and not used, while a request runs.")


class AdviceSerializer(serializers.Serializer[Any]):
    """What saves most first. Money is whole nano-EUR, of the last thirty days, at the prices in force now."""

    cheaper = CheaperModelSerializer(many=True)
    cache = MoreFromCacheSerializer(many=True)
    limits = LowerOutputLimitSerializer(many=True)


class AdviceView(ApiView):
    """`/api/usage/advice`."""

    @extend_schema(
        operation_id="usage_advice_read",
        summary="Where money could be saved",
        tags=["Usage"],
        responses={200: AdviceSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Advise from the organisation's figures of the last thirty days, with the scope `usage:read:tenant`.

        Without the scope there is none: figures of one key say too little.
        """
        parameters(Query, request)
        caller = self.caller(request)
        caller.require(Permission.USAGE_READ_TENANT)
        found = advice_to(Reader(caller.tenant.pk), caller.tenant)
        return Response(AdviceSerializer(found).data)


def advice_to(reader: Reader, tenant: Tenant) -> Advice:
    """For the reader's usage, among the models that the tenant can call now at its own prices."""
    models = list(visible_models(tenant))
    view = catalog_view(tenant, models)
    offers = [
        Offer(model, price.prices)
        for model in models
        if view.is_callable(model) and (price := view.standard_price(model))
    ]
    return advice(reader, offers, today=timezone.localdate(), time_zone=tenant.time_zone)
