"""Models, for those who run the platform: described, shown to organisations, ended; by the id that clients send."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import Tier
from gateway.api.operator.view import OperatorApiView, page_of
from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, StrictSerializer, TextField
from gateway.pools.model_state import ModelState, model_states
from gateway.pools.model_wishes import ModelWish, put_model
from gateway.pools.publishing import missing_of
from gateway.pools.targets import LONGEST_FIRST_TOKEN_MS, WHOLE
from identity.errors import NotFound
from identity.models import Tenant
from models_catalog.models import LanguageModel

Visibility = LanguageModel.Visibility
MOST_TOKENS = 2**31 - 1
MODEL_ID = OpenApiParameter(
    "model_id", str, "path", description="What clients send as `model`: it may hold `:` and `/`."
)
_AIM = "The share of the probed minutes that is to answer, in hundredths of a percent: 9990 is 99.9 %."
_FIRST = "Milliseconds within which 95 of 100 probes are to have their first token."
_WHO = "`everybody`, `chosen` (the tiers and organisations that are named) or `nobody`."


@dataclass(frozen=True, slots=True)
class _Shown:
    """A model with the words for whom it is shown to."""

    state: ModelState
    tiers: list[str]
    tenants: list[str]

    @property
    def missing(self) -> list[str]:
        """Before it can be published."""
        if self.state.stage != "draft":
            return []
        return missing_of(self.state.model, has_price=bool(self.state.prices), has_engine=self.state.ready > 0)


class OperatedModelSerializer(serializers.Serializer[Any]):
    """A model as the operator sees it. Sizes are in tokens."""

    id = serializers.CharField(source="state.model.name", help_text="What clients send as `model`.")
    kind = serializers.CharField(source="state.model.kind")
    title = serializers.CharField(source="state.model.title")
    publisher = serializers.CharField(source="state.model.publisher")
    licence = serializers.CharField(source="state.model.licence")
    description = serializers.CharField(source="state.model.description")
    context_window = serializers.IntegerField(source="state.model.context_window")
    default_max_output = serializers.IntegerField(source="state.model.default_max_output")
    stage = serializers.CharField(
        source="state.stage",
        help_text="`draft` (never published), `hidden` (seen by nobody), `published`, `ending` or `ended`.",
    )
    missing = serializers.ListField(
        child=serializers.CharField(),
        help_text="Of a draft, why it cannot be published yet: `kind`, `price`, `engine`, `retired`.",
    )
    visibility = serializers.CharField(source="state.model.visibility", help_text=_WHO)
    tiers = serializers.ListField(child=serializers.CharField(), help_text="Their codes.")
    tenants = serializers.ListField(child=serializers.CharField(), help_text="Their slugs.")
    published_at = serializers.DateTimeField(source="state.model.published_at", allow_null=True)
    ends_on = serializers.DateField(
        source="state.model.retired_on", allow_null=True, help_text="Refused from this day on (UTC); null: none is set."
    )
    successor = serializers.CharField(
        source="state.model.successor.name", default=None, allow_null=True, help_text="The id of what takes its place."
    )
    answers = serializers.BooleanField(
        source="state.answers",
        allow_null=True,
        help_text="By the last probe; null: there was none in the last minutes.",
    )
    target_answered = serializers.IntegerField(source="state.model.target_answered", allow_null=True, help_text=_AIM)
    target_first_token_ms = serializers.IntegerField(
        source="state.model.target_first_token_ms", allow_null=True, help_text=_FIRST
    )
    target_met = serializers.BooleanField(
        source="state.is_met",
        allow_null=True,
        help_text="Over the last 24 hours; null: there is no target, or nothing was probed.",
    )
    minutes_answered = serializers.IntegerField(
        source="state.day.share.answered", help_text="Of the minutes probed in the last 24 hours."
    )
    minutes_probed = serializers.IntegerField(source="state.day.share.probed")
    first_token_p95_ms = serializers.IntegerField(
        source="state.day.first_token_ms", allow_null=True, help_text="That 95 of 100 of these probes kept."
    )
    engines = serializers.IntegerField(source="state.replicas")
    engines_ready = serializers.IntegerField(source="state.ready")


class OperatedModelPageSerializer(serializers.Serializer[Any]):
    """Models, in the order in which they came."""

    results = OperatedModelSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class WishedModelSerializer(StrictSerializer):
    """How a model is to be. What is left out stays as it is."""

    kind = serializers.ChoiceField(
        required=False, choices=[kind.value for kind in LanguageModel.Kind], help_text="A new model needs it; it stays."
    )
    context_window = serializers.IntegerField(
        required=False, min_value=1, max_value=MOST_TOKENS, help_text="Tokens; a new model needs it."
    )
    title = TextField(required=False, max_length=200, help_text="Its id unless given.")
    publisher = TextField(required=False, max_length=200)
    licence = TextField(required=False, max_length=200)
    description = TextField(required=False, max_length=4_000, allow_blank=True)
    default_max_output = serializers.IntegerField(
        required=False, min_value=1, max_value=MOST_TOKENS, help_text="Tokens of an answer where a client says nothing."
    )
    visibility = serializers.ChoiceField(
        required=False,
        choices=[one.value for one in Visibility],
        help_text=f"{_WHO} All but `nobody` publish a draft, which takes a price and an engine that is ready. A new "
        "model is for nobody unless this is given.",
    )
    tiers = serializers.ListField(
        required=False, child=TextField(max_length=32), max_length=1_000, help_text="Codes, with `chosen`."
    )
    tenants = serializers.ListField(
        required=False, child=TextField(max_length=63), max_length=1_000, help_text="Slugs, with `chosen`."
    )
    ends_on = serializers.DateField(
        required=False,
        help_text="Announces that the model is refused from this day on (UTC), three months ahead at least. Those who "
        "see it are told. It can be moved, and not taken back.",
    )
    successor = TextField(required=False, max_length=200, help_text="The id of what takes its place, with `ends_on`.")
    target_answered = serializers.IntegerField(
        required=False, min_value=0, max_value=WHOLE, help_text=f"{_AIM} 0: no target."
    )
    target_first_token_ms = serializers.IntegerField(
        required=False, min_value=0, max_value=LONGEST_FIRST_TOKEN_MS, help_text=f"{_FIRST} 0: no target."
    )


class OperatedModelsView(OperatorApiView):
    """`/api/operator/models`."""

    noun = "models"

    @extend_schema(
        operation_id="operator_models_list",
        summary="List models with their state",
        tags=["Operator"],
        parameters=[PageQuery],
        responses={200: OperatedModelPageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List all models of the catalogue. Needs `models:read`."""
        return page_of(request, _models().order_by("pk"), shown)


class OperatedModelView(OperatorApiView):
    """`/api/operator/models/{model_id}`."""

    noun = "models"

    @extend_schema(
        operation_id="operator_models_read",
        summary="Read one model with its state",
        tags=["Operator"],
        parameters=[MODEL_ID],
        responses={200: OperatedModelSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, model_id: str) -> Response:
        """Read one model. Needs `models:read`."""
        return Response(shown([model_of(model_id)])[0])

    @extend_schema(
        operation_id="operator_models_put",
        summary="Make a model, or change it",
        tags=["Operator"],
        parameters=[MODEL_ID],
        request=WishedModelSerializer,
        responses={
            200: OperatedModelSerializer,
            201: OperatedModelSerializer,
            **errors_of(400, 401, 403, 404, 409, 413, 415),
        },
    )
    def put(self, request: Request, model_id: str) -> Response:
        """Describe the model, say who sees it and announce its end; all of it or nothing. The same again changes
        nothing. Needs `models:write`.
        """
        if not model_id.isprintable():
            raise NotFound("model")
        asked = WishedModelSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        is_new = put_model(model_id, ModelWish(**asked.validated_data), by=self.operator(request))
        return Response(shown([model_of(model_id)])[0], status=201 if is_new else 200)


def model_of(model_id: str) -> LanguageModel:
    """The model of that id, aliases excluded. Raises `NotFound`."""
    found = _models().filter(name=model_id).first() if model_id.isprintable() else None
    if found is None:
        raise NotFound("model")
    return found


def shown(models: Sequence[LanguageModel]) -> list[dict[str, Any]]:
    """As the API shows them, in seven queries."""
    tiers = {pk for model in models for pk in model.visible_tiers}
    tenants = {pk for model in models for pk in model.visible_tenants}
    codes = dict(Tier.objects.filter(pk__in=tiers).values_list("pk", "code"))
    slugs = dict(Tenant.objects.filter(pk__in=tenants).values_list("pk", "slug"))
    rows = [
        _Shown(
            state,
            sorted(codes[pk] for pk in state.model.visible_tiers if pk in codes),
            sorted(slugs[pk] for pk in state.model.visible_tenants if pk in slugs),
        )
        for state in model_states(models, now=datetime.now(UTC))
    ]
    return [dict(row) for row in OperatedModelSerializer(rows, many=True).data]


def _models() -> QuerySet[LanguageModel]:
    return LanguageModel.objects.select_related("successor")
