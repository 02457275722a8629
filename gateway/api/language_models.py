"""The catalog as this key sees it: what each model is, what it costs here, whether it can be called now."""

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models.prices import Mode
from billing.prices.visibility import as_seen_by, visible_model
from billing.usage.speeds import speeds_today
from gateway.api.catalog_view import CatalogView, catalog_view
from gateway.api.problems import errors_of
from gateway.api.queries import Query, parameters
from gateway.api.view import ApiView
from identity.errors import NotFound
from identity.models import ApiKey
from models_catalog.lifecycle import Lifecycle
from models_catalog.models import LanguageModel


class PriceSerializer(serializers.Serializer[Any]):
    """What a model costs on this organisation's price list."""

    mode = serializers.ChoiceField(choices=Mode.values)
    version_id = serializers.IntegerField(help_text="Usage records name it.")
    valid_from = serializers.DateTimeField()
    nano_eur_per_million = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="By meter: `input`, `cached`, `output`, `reasoning` (tokens), `audio_ms`, `documents`, `images`. "
        "Without a price of its own, a cached token costs as input and a reasoning token as output.",
    )
    audio_by_started_minute = serializers.BooleanField(
        help_text="Whether each request's audio is billed as whole minutes, the last one begun."
    )


class SpeedSerializer(serializers.Serializer[Any]):
    """Medians of a model's streamed answers in the last 24 hours, of all organisations together.

    Null where fewer than 20 requests stand behind it.
    """

    first_token_ms = serializers.FloatField(allow_null=True)
    first_token_requests = serializers.IntegerField(help_text="So many requests stand behind it.")
    tokens_per_second = serializers.FloatField(allow_null=True, help_text="After the first token.")
    pace_requests = serializers.IntegerField()


class ModelSerializer(serializers.ModelSerializer[LanguageModel]):
    """A language model. Sizes are in tokens, parameters in billions."""

    id = serializers.CharField(source="name", help_text="What to send as `model`. It may hold `:` and `/`.")
    aliases = serializers.SerializerMethodField(help_text="Other names that mean this model here.")
    parameters_billion = serializers.FloatField(allow_null=True)
    active_parameters_billion = serializers.FloatField(allow_null=True)
    kwh_per_million_tokens = serializers.FloatField(allow_null=True)
    tokens_per_second = serializers.FloatField(allow_null=True)
    media_max_tokens = serializers.DictField(
        child=serializers.IntegerField(), help_text="The most tokens that one image, audio or video can become."
    )
    measured = serializers.SerializerMethodField(help_text="How fast it answered today; null: nobody called it.")
    lifecycle = serializers.SerializerMethodField()
    successor = serializers.SerializerMethodField(help_text="The id of the model that takes over.")
    prices = serializers.SerializerMethodField(help_text="In force now; empty: it has no price here.")
    scheduled_prices = serializers.SerializerMethodField(help_text="Those that follow, the next first.")
    is_served = serializers.SerializerMethodField(help_text="An engine is ready for it.")
    is_callable = serializers.SerializerMethodField(
        help_text="This key can call it now: it is served, has a price, is not retired, and the key and its project "
        "are allowed to."
    )

    class Meta:
        model = LanguageModel
        fields = [
            "id",
            "title",
            "kind",
            "publisher",
            "family",
            "description",
            "aliases",
            "is_served",
            "is_callable",
            "prices",
            "scheduled_prices",
            "context_window",
            "default_max_output",
            "template_overhead_tokens",
            "template_overhead_tokens_per_message",
            "media_max_tokens",
            "modalities",
            "capabilities",
            "use_cases",
            "languages",
            "parameters_billion",
            "active_parameters_billion",
            "weights",
            "weights_revision",
            "channel",
            "licence",
            "licence_url",
            "indemnity",
            "location",
            "kwh_per_million_tokens",
            "tokens_per_second",
            "measured",
            "released_on",
            "stable_until",
            "deprecated_on",
            "retired_on",
            "lifecycle",
            "successor",
            "is_demo",
        ]

    def get_fields(self) -> dict[str, Any]:
        """Everything is always there."""
        fields = super().get_fields()
        for field in fields.values():
            field.required = not field.read_only
        return fields

    @property
    def catalog(self) -> CatalogView:
        """What there is to say beside the rows."""
        catalog = self.context["catalog"]
        assert isinstance(catalog, CatalogView)
        return catalog

    def get_aliases(self, model: LanguageModel) -> list[str]:
        """Everybody's and the organisation's own."""
        return [*self.catalog.aliases.get(model.pk, ()), *self.catalog.own_aliases.get(model.pk, ())]

    @extend_schema_field({"type": "string", "enum": [stage.value for stage in Lifecycle]})
    def get_lifecycle(self, model: LanguageModel) -> str:
        """Where it stands today."""
        return self.catalog.lifecycle(model).value

    @extend_schema_field({"type": "string", "nullable": True})
    def get_successor(self, model: LanguageModel) -> str | None:
        """Its name."""
        return model.successor.name if model.successor else None

    @extend_schema_field(PriceSerializer(many=True))
    def get_prices(self, model: LanguageModel) -> Any:
        """In force now."""
        return PriceSerializer(self.catalog.prices.get(model.pk, []), many=True).data

    @extend_schema_field(PriceSerializer(many=True))
    def get_scheduled_prices(self, model: LanguageModel) -> Any:
        """Those that follow, by time."""
        return PriceSerializer(self.catalog.coming.get(model.pk, []), many=True).data

    @extend_schema_field(SpeedSerializer(allow_null=True))
    def get_measured(self, model: LanguageModel) -> Any:
        """A minute old at most."""
        speed = self.context["speeds"].get(model.pk)
        return SpeedSerializer(speed).data if speed else None

    def get_is_served(self, model: LanguageModel) -> bool:
        """An engine is ready."""
        return model.pk in self.catalog.served

    def get_is_callable(self, model: LanguageModel) -> bool:
        """As the gateway decides."""
        return self.catalog.is_callable(model)


class CatalogSerializer(serializers.Serializer[Any]):
    """All models of the catalog, by id."""

    results = ModelSerializer(many=True)


class ModelsView(ApiView):
    """`/api/models`."""

    @extend_schema(
        operation_id="models_list",
        summary="List the whole catalog",
        tags=["Models"],
        responses={200: CatalogSerializer, **errors_of(400, 401)},
    )
    def get(self, request: Request) -> Response:
        """List the whole catalog as this organisation sees it, with its prices and what can be called now."""
        parameters(Query, request)
        key = self.key(request)
        models = as_seen_by(key.tenant, LanguageModel.objects.order_by("name"))
        context = {"catalog": _seen_by(key, models), "speeds": speeds_today()}
        return Response({"results": ModelSerializer(models, many=True, context=context).data})


class ModelView(ApiView):
    """`/api/models/{model_id}`."""

    @extend_schema(
        operation_id="models_read",
        summary="Read one model",
        tags=["Models"],
        parameters=[
            OpenApiParameter("model_id", str, "path", description="An id or an alias; it may hold `:` and `/`.")
        ],
        responses={200: ModelSerializer, **errors_of(401, 404)},
    )
    def get(self, request: Request, model_id: str) -> Response:
        """Read one model of the catalog."""
        key = self.key(request)
        meant = visible_model(key.tenant, model_id) if model_id.isprintable() else None
        if meant is None:
            raise NotFound("model")
        [model] = as_seen_by(key.tenant, LanguageModel.objects.filter(pk=meant.pk))
        context = {"catalog": _seen_by(key, [model]), "speeds": speeds_today()}
        return Response(ModelSerializer(model, context=context).data)


def callable_model_names(key: ApiKey) -> list[str]:
    """The ids of the models that the gateway would let the key call now."""
    models = as_seen_by(key.tenant, LanguageModel.objects.order_by("name"))
    view = _seen_by(key, models)
    return [model.name for model in models if view.is_callable(model)]


def _seen_by(key: ApiKey, models: Sequence[LanguageModel]) -> CatalogView:
    return catalog_view(key.tenant, models, (key.allowed_models, key.project.allowed_models))
