"""Changes of prices, for those who run the platform: looked at, scheduled, taken back."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import WithdrawnPrice
from billing.models.prices import Mode
from billing.prices.changes import (
    REASON_LENGTH_MAX,
    Outcome,
    PricePlan,
    PriceWish,
    changes_of,
    plan_prices,
    put_prices,
    short_notice,
    withdraw_price,
)
from billing.prices.listed import versions_of
from billing.prices.preview import preview_prices
from billing.prices.price_book import HIGHEST_PRICE
from billing.prices.price_lists import price_list
from gateway.api.operator.price_lists import (
    BY_MINUTE_HELP,
    LIST_ID,
    METER_NAMES,
    OperatedVersionPageSerializer,
    OperatedVersionSerializer,
)
from gateway.api.operator.view import OperatorApiView, page_of
from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, StrictMember, StrictSerializer, TextField, TimeField, YesNoField
from identity.errors import Invalid
from models_catalog.models import LanguageModel

VERSION_ID = OpenApiParameter("version_id", int, "path", description="The id of prices that are scheduled.")


class WishedVersionSerializer(StrictMember):
    """What a model is to cost."""

    model = TextField(max_length=200, help_text="Its id.")
    mode = serializers.ChoiceField(choices=Mode.values, default=Mode.STANDARD.value)
    valid_from = TimeField(required=False, allow_null=True, help_text="Left out: from now.")
    nano_eur_per_million = serializers.DictField(
        child=serializers.IntegerField(min_value=0, max_value=HIGHEST_PRICE),
        allow_empty=False,
        help_text=f"By meter: {METER_NAMES}. All of them: a meter that is left out has no price. But a cached "
        "token then costs as input, and a reasoning token as output.",
    )
    audio_by_started_minute = YesNoField(default=False, help_text=BY_MINUTE_HELP)


class PriceChangesSerializer(StrictSerializer):
    """Prices to be added to a list."""

    prices = WishedVersionSerializer(many=True, allow_empty=False)
    reason = TextField(
        required=False,
        allow_blank=True,
        max_length=REASON_LENGTH_MAX,
        help_text="Why, for operators; kept with each of them. A rise at short notice needs one.",
    )
    dry_run = YesNoField(default=True, help_text="Only look; what would happen is told. True unless it is said.")


class PriceChangeLineSerializer(serializers.Serializer[Any]):
    """What becomes of one of the prices."""

    model = serializers.CharField(source="wish.model")
    mode = serializers.CharField(source="wish.mode")
    valid_from = serializers.DateTimeField(source="starts")
    outcome = serializers.ChoiceField(choices=[outcome.value for outcome in Outcome])
    replaces_nano_eur_per_million = serializers.DictField(
        source="old", child=serializers.IntegerField(), allow_null=True, help_text="The prices until then."
    )
    error = serializers.SerializerMethodField(help_text="Why it is refused; empty otherwise.")

    def get_error(self, plan: PricePlan) -> str:
        """A sentence."""
        if plan.error is None:
            return ""
        return plan.error.message if isinstance(plan.error, Invalid) else str(plan.error)


class PreviewedTenantSerializer(serializers.Serializer[Any]):
    """An organisation's month, nano-EUR."""

    slug = serializers.CharField()
    name = serializers.CharField()
    old_nano_eur = serializers.IntegerField(help_text="At the prices until then.")
    new_nano_eur = serializers.IntegerField(help_text="At the new ones.")


class PricePreviewSerializer(serializers.Serializer[Any]):
    """What the new prices would have made of last month's usage (UTC) of who pays by the list now. Each request is
    rounded by itself when it is charged: a bill may differ by half a nano-EUR a request.
    """

    first = serializers.DateField()
    last = serializers.DateField()
    requests = serializers.IntegerField()
    old_nano_eur = serializers.IntegerField()
    new_nano_eur = serializers.IntegerField()
    tenants = PreviewedTenantSerializer(many=True, help_text="The greatest difference first.")
    unpriced = serializers.SerializerMethodField(
        help_text="`model: meter` that was used and would have no price: such requests would be refused."
    )

    def get_unpriced(self, preview: Any) -> list[str]:
        """By model."""
        return [f"{model}: {meter}" for model, meter in preview.unpriced]


class PriceChangesResultSerializer(serializers.Serializer[Any]):
    """What became, or would become, of the prices."""

    is_done = serializers.BooleanField(help_text="Whether they were added: all of them, or none.")
    lines = PriceChangeLineSerializer(many=True)
    rises_in_days = serializers.IntegerField(
        allow_null=True,
        help_text="In how many days a price rises, where that is sooner than `rise_notice_days` of the billing "
        "settings, so that it needs a reason; or null.",
    )
    preview = PricePreviewSerializer()


class OperatedWithdrawnSerializer(serializers.Serializer[Any]):
    """Prices that were scheduled, and withdrawn before they began."""

    id = serializers.IntegerField(source="version_id")
    model = serializers.SerializerMethodField(help_text="Its id.")
    mode = serializers.CharField()
    valid_from = serializers.DateTimeField(help_text="When they would have begun.")
    nano_eur_per_million = serializers.DictField(source="prices", child=serializers.IntegerField())
    withdrawn_at = serializers.DateTimeField()

    def get_model(self, one: WithdrawnPrice) -> str:
        """By its name."""
        return str(self.context["names"].get(one.model_id, ""))


class OperatedWithdrawnPageSerializer(serializers.Serializer[Any]):
    """Withdrawn prices, in the order in which they were added."""

    results = OperatedWithdrawnSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class OperatedVersionsView(OperatorApiView):
    """`/api/operator/price-lists/{list_id}/prices`."""

    noun = "prices"

    @extend_schema(
        operation_id="operator_price_lists_prices",
        summary="List all prices of a price list",
        tags=["Operator"],
        parameters=[LIST_ID, PageQuery],
        responses={200: OperatedVersionPageSerializer, **errors_of(400, 401, 403, 404)},
    )
    def get(self, request: Request, list_id: int) -> Response:
        """List what each model cost, costs and will cost on the list, by mode. Needs `prices:read`."""
        rows = versions_of(price_list(list_id).card)
        return page_of(request, rows, lambda page: OperatedVersionSerializer(page, many=True).data)

    @extend_schema(
        operation_id="operator_price_lists_put_prices",
        summary="Change prices of a price list",
        tags=["Operator"],
        parameters=[LIST_ID],
        request=PriceChangesSerializer,
        responses={200: PriceChangesResultSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def post(self, request: Request, list_id: int) -> Response:
        """Add these prices, from now or from a day to come: all of them or, where one is refused, none. Without
        `"dry_run": false`, only look at what becomes of them and what they would have made of last month. Those who pay
        by the list are told of what changes. A rise at short notice without a `reason` is answered 400. The same once
        more changes nothing. Needs `prices:write`.
        """
        card = price_list(list_id).card
        asked = PriceChangesSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        wishes = [
            PriceWish(
                one["model"],
                one["nano_eur_per_million"],
                mode=one["mode"],
                valid_from=one.get("valid_from"),
                audio_by_started_minute=one["audio_by_started_minute"],
            )
            for one in given["prices"]
        ]
        by = self.operator(request)
        if given["dry_run"]:
            plans = plan_prices(by=by, rate_card=card, wishes=wishes)
        else:
            plans = put_prices(by=by, rate_card=card, wishes=wishes, reason=given.get("reason", ""))
        short = short_notice(card, plans)
        result = {
            "is_done": not given["dry_run"] and all(plan.outcome != Outcome.REFUSED for plan in plans),
            "lines": plans,
            "rises_in_days": short.days if short else None,
            "preview": preview_prices(card, changes_of(plans)),
        }
        return Response(PriceChangesResultSerializer(result).data)


class OperatedScheduledPriceView(OperatorApiView):
    """`/api/operator/price-lists/{list_id}/prices/{version_id}`."""

    noun = "prices"

    @extend_schema(
        operation_id="operator_price_lists_withdraw",
        summary="Withdraw scheduled prices",
        tags=["Operator"],
        parameters=[LIST_ID, VERSION_ID],
        responses={204: None, **errors_of(401, 403, 404, 409)},
    )
    def delete(self, request: Request, list_id: int, version_id: int) -> Response:
        """Take scheduled prices back, until a minute before they begin; 409 where it is too late: let others follow
        them. Who was told of them is told. Needs `prices:write`.
        """
        card = price_list(list_id).card
        withdraw_price(by=self.operator(request), rate_card=card, version_id=version_id)
        return Response(status=204)


class OperatedWithdrawnView(OperatorApiView):
    """`/api/operator/price-lists/{list_id}/withdrawn-prices`."""

    noun = "prices"

    @extend_schema(
        operation_id="operator_price_lists_withdrawn",
        summary="List withdrawn prices",
        tags=["Operator"],
        parameters=[LIST_ID, PageQuery],
        responses={200: OperatedWithdrawnPageSerializer, **errors_of(400, 401, 403, 404)},
    )
    def get(self, request: Request, list_id: int) -> Response:
        """List what was scheduled on the list and withdrawn before it began. Needs `prices:read`."""
        rows = WithdrawnPrice.objects.filter(rate_card_id=price_list(list_id).card.pk).order_by("pk")
        return page_of(request, rows, _shown)


def _shown(page: list[WithdrawnPrice]) -> Any:
    names = dict(LanguageModel.objects.filter(pk__in={one.model_id for one in page}).values_list("pk", "name"))
    return OperatedWithdrawnSerializer(page, many=True, context={"names": names}).data
