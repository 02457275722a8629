"""Budgets and limits with what is left of them."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.limits.standing import (
    BudgetStanding,
    LimitStanding,
    budgets_of_tenant,
    budgets_on_path,
    limits_of_tenant,
    limits_on_path,
)
from billing.models import Budget, Limit, Scope
from gateway.api.names import key_names
from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, next_address, parameters
from gateway.api.view import ApiView
from identity.access import Caller
from identity.api_keys import pseudonym_of
from identity.budget_duties import people_answering
from identity.permissions import Permission

_Standing = TypeVar("_Standing", BudgetStanding, LimitStanding)


class RunningRaiseSerializer(serializers.Serializer[Any]):
    """A raise for a time that runs."""

    base_nano_eur = serializers.IntegerField(help_text="The limit before it, and after.")
    until = serializers.DateTimeField()
    by = serializers.CharField(
        help_text="Who raised it: a person's pseudonym or a key's id; empty where it is not known any more."
    )


class PlaceSerializer(serializers.Serializer[Any]):
    """Where a budget or a limit sits. Needs what `lookups_for` gives in its context."""

    id = serializers.IntegerField()
    scope = serializers.ChoiceField(
        choices=Scope.values, help_text="What it binds: the whole organisation (`tenant`), a `project`, a `key`."
    )
    project_id = serializers.SerializerMethodField(help_text="The project, where the scope is `project`.")
    key_id = serializers.SerializerMethodField(help_text="The key, where the scope is `key`.")
    source = serializers.CharField(  # type: ignore[assignment]  # a field of ours, not the attribute
        help_text="`set`: somebody set it. `tier`: the contract brings it."
    )

    @extend_schema_field({"type": "integer", "nullable": True})
    def get_project_id(self, row: BudgetStanding | LimitStanding) -> int | None:
        """The project it is on."""
        return row.scope_id if row.scope == Scope.PROJECT else None

    @extend_schema_field({"type": "string", "nullable": True})
    def get_key_id(self, row: BudgetStanding | LimitStanding) -> str | None:
        """The key it is on."""
        return self.context["lookups"].get(row.scope_id) if row.scope == Scope.KEY else None


class BudgetSerializer(PlaceSerializer):
    """An amount a period. Amounts are whole numbers of nano-EUR."""

    period = serializers.ChoiceField(choices=Budget.Period.values)
    limit_nano_eur = serializers.IntegerField(help_text="What may be spent in a period.")
    cap_nano_eur = serializers.IntegerField(
        allow_null=True,
        help_text="Where requests are refused: the limit, or what was spent and reserved already when the limit was "
        "lowered under that. Null: this budget only alerts.",
    )
    spent_nano_eur = serializers.IntegerField(help_text="Charged in this period.")
    held_nano_eur = serializers.IntegerField(help_text="Reserved for requests under way.")
    left_nano_eur = serializers.IntegerField(help_text="What may still be spent: never below 0.")
    is_hard = serializers.BooleanField(help_text="False: it only alerts.")
    may_lower_output = serializers.BooleanField(
        help_text="Where money is short, a request's own output limit may be lowered instead of refusing it."
    )
    alert_percents = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=100),
        help_text="Of the limit, spent, at which people are told by notices `budget.reached` and `budget.exhausted`, "
        "each once a period. A key's budget tells only who answers for it.",
    )
    responsible = serializers.SerializerMethodField(
        help_text="The pseudonym of the member who answers for it and gets its notices; null: nobody."
    )
    raised = RunningRaiseSerializer(
        allow_null=True, help_text="The raise that `limit_nano_eur` comes from; null: none runs."
    )
    starts_at = serializers.DateTimeField(allow_null=True, help_text="Null: given once.")
    resets_at = serializers.DateTimeField(allow_null=True, help_text="When the next period begins. Null: given once.")

    @extend_schema_field({"type": "string", "format": "uuid", "nullable": True})
    def get_responsible(self, row: BudgetStanding) -> str | None:
        """A pseudonym: it stays when the person is erased."""
        return pseudonym_of(self.context["answering"].get(row.id))


class LimitSerializer(PlaceSerializer):
    """A rate or a quota."""

    what = serializers.ChoiceField(choices=Limit.What.values)
    window = serializers.ChoiceField(choices=Limit.Window.values, help_text="`none` for requests at once.")
    amount = serializers.IntegerField(help_text="The most in a window.")
    used = serializers.IntegerField(help_text="Taken in this window; tokens are estimated until a request has ended.")
    left = serializers.IntegerField()
    resets_at = serializers.DateTimeField(
        allow_null=True, help_text="When the next window begins. Null: it is freed by requests that end."
    )


class BudgetPageSerializer(serializers.Serializer[Any]):
    """Budgets, by id."""

    results = BudgetSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class LimitPageSerializer(serializers.Serializer[Any]):
    """Limits, by id."""

    results = LimitSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class BudgetsView(ApiView):
    """`/api/budgets`."""

    @extend_schema(
        operation_id="budgets_list",
        summary="List budgets with what is left",
        tags=["Budgets and limits"],
        parameters=[PageQuery],
        responses={200: BudgetPageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the budgets that bind this key; with `usage:read:tenant` all of the organisation."""
        page, cursor = _page(request, self.caller(request), budgets_of_tenant, budgets_on_path)
        results = BudgetSerializer(page, many=True, context=lookups_for(self.caller(request), page)).data
        return Response({"results": results, "next": next_address(request, cursor)})


class LimitsView(ApiView):
    """`/api/limits`."""

    @extend_schema(
        operation_id="limits_list",
        summary="List limits with what is left",
        tags=["Budgets and limits"],
        parameters=[PageQuery],
        responses={200: LimitPageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the limits that bind this key; with `usage:read:tenant` all of the organisation."""
        page, cursor = _page(request, self.caller(request), limits_of_tenant, limits_on_path)
        results = LimitSerializer(page, many=True, context=lookups_for(self.caller(request), page)).data
        return Response({"results": results, "next": next_address(request, cursor)})


def path_of(caller: Caller) -> tuple[int, int, int]:
    """The ids of the key's organisation, of its project and of itself: what binds it."""
    assert caller.key is not None
    return caller.tenant.pk, caller.key.project_id, caller.key.pk


def lookups_for(caller: Caller, page: Sequence[BudgetStanding | LimitStanding]) -> dict[str, Any]:
    """What the serializers need to name the keys of a page, and who answers for its budgets."""
    key_ids = {row.scope_id for row in page if row.scope == Scope.KEY}
    names = key_names(caller.tenant.pk, key_ids)
    answering = people_answering(row.id for row in page if isinstance(row, BudgetStanding))
    return {"lookups": {key_id: name.lookup for key_id, name in names.items()}, "answering": answering}


def _page(
    request: Request,
    caller: Caller,
    of_tenant: Callable[..., list[_Standing]],
    on_path: Callable[[int, int, int], list[_Standing]],
) -> tuple[list[_Standing], int | None]:
    """The rows that the caller may see, and the id after which the list continues."""
    given = parameters(PageQuery, request)
    after, size = given.get("cursor", 0), given["limit"]
    caller.require(Permission.BUDGET_READ)
    if caller.may(Permission.USAGE_READ_TENANT):
        rows = of_tenant(caller.tenant.pk, after=after, size=size + 1)
    else:
        rows = [row for row in on_path(*path_of(caller)) if row.id > after]
    return rows[:size], rows[size - 1].id if len(rows) > size else None
