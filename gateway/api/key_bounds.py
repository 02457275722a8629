"""What bounds a key: given with it when it is made, and everything on its path, with what is used and which binds."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.limits.budgets import HIGHEST_LIMIT
from billing.limits.key_bounds import KeyBounds
from billing.limits.limits import HIGHEST_AMOUNT
from billing.limits.what_applies import Bound, what_applies
from billing.models import Budget, Limit, Scope
from gateway.api.budgets import RunningRaiseSerializer
from gateway.api.problems import errors_of
from gateway.api.queries import StrictMember
from gateway.api.view import ApiView
from identity import access
from identity.api_keys import pseudonym_of
from identity.budget_duties import people_answering

LIMITS_MAX = 20  # kinds times windows, and some to spare


class KeyBudgetSerializer(StrictMember):
    """A budget of the key's own."""

    period = serializers.ChoiceField(choices=Budget.Period.values)
    limit_nano_eur = serializers.IntegerField(min_value=0, max_value=HIGHEST_LIMIT)


class KeyLimitSerializer(StrictMember):
    """A limit of the key's own."""

    what = serializers.ChoiceField(choices=Limit.What.values)
    window = serializers.ChoiceField(
        choices=Limit.Window.values, help_text="`none`, and only it, for requests at once."
    )
    amount = serializers.IntegerField(min_value=0, max_value=HIGHEST_AMOUNT)


class BoundSerializer(serializers.Serializer[Any]):
    """A budget or a limit on the key's path. Money is whole nano-EUR."""

    id = serializers.IntegerField()
    what = serializers.CharField(help_text="`money`: it is a budget; else what a limit is about, as in `/api/limits`.")
    per = serializers.CharField(help_text="The period of a budget, the window of a limit.")
    scope = serializers.ChoiceField(choices=Scope.values, help_text="Whose it is: `tenant`, `project` or `key`.")
    source = serializers.CharField(  # type: ignore[assignment]  # a field of ours, not the attribute
        help_text="`set`: somebody set it. `tier`: the contract brings it."
    )
    used = serializers.IntegerField(help_text="Spent and reserved, or taken of the window.")
    held = serializers.IntegerField(help_text="The reserved part of it.")
    whole = serializers.IntegerField(help_text="The budget or the limit itself.")
    left = serializers.IntegerField()
    resets_at = serializers.DateTimeField(allow_null=True)
    is_hard = serializers.BooleanField(help_text="False: it only alerts.")
    responsible = serializers.SerializerMethodField(
        help_text="Of a budget, the pseudonym of the member who answers for it; null: nobody."
    )
    raised = RunningRaiseSerializer(allow_null=True, help_text="The raise of a budget that runs; null: none.")
    binds = serializers.BooleanField(help_text="Of those about the same thing it has least left, so it refuses first.")

    @extend_schema_field({"type": "string", "format": "uuid", "nullable": True})
    def get_responsible(self, bound: Bound) -> str | None:
        """A limit has the id of a budget too, which it has nothing to do with."""
        return pseudonym_of(self.context["answering"].get(bound.id)) if bound.is_money else None


class BoundListSerializer(serializers.Serializer[Any]):
    """What applies to a key: money first, the nearest first."""

    results = BoundSerializer(many=True)


class KeyBoundsView(ApiView):
    """`/api/keys/{key_id}/bounds`."""

    @extend_schema(
        operation_id="keys_read_bounds",
        summary="Read what applies to a key",
        tags=["Keys"],
        responses={200: BoundListSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, key_id: str) -> Response:
        """Read every budget and limit on the key's path, what is used of it, and which one binds. Needs `keys:manage`,
        but for itself.
        """
        bounds = what_applies(access.key_for(self.caller(request), key_id))
        answering = people_answering(bound.id for bound in bounds if bound.is_money)
        return Response({"results": BoundSerializer(bounds, many=True, context={"answering": answering}).data})


def bounds_asked(asked: Mapping[str, Any]) -> KeyBounds:
    """What a key to be made is to be bound by. Raises ValidationError for two limits of one kind and window."""
    limits = {(limit["what"], limit["window"]): limit["amount"] for limit in asked.get("limits", ())}
    if len(limits) < len(asked.get("limits", ())):
        raise serializers.ValidationError({"limits": "Each kind and window once."})
    budget = asked.get("budget")
    if budget is None:
        return KeyBounds(limits=limits)
    return KeyBounds(budget["limit_nano_eur"], budget["period"], limits)
