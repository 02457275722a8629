"""Setting and ending budgets and limits: of the organisation, a project or a key, by the verbs that the pages call."""

from dataclasses import replace
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.limits.budget_duties import budget_to_answer_for, choose_responsible
from billing.limits.budget_raises import end_raise, raise_budget
from billing.limits.budgets import ALERTS_MAX, HIGHEST_LIMIT, budget_on, remove_budget, set_budget
from billing.limits.limits import HIGHEST_AMOUNT, limit_on, remove_limit, set_limit
from billing.limits.places import Holder
from billing.limits.standing import budgets_on, limits_on
from billing.models import Budget, Limit, Scope
from gateway.api.budgets import BudgetSerializer, BudgetsView, LimitSerializer, LimitsView, lookups_for
from gateway.api.problems import errors_of
from gateway.api.queries import StrictSerializer, TextField, TimeField
from gateway.api.view import ApiView
from identity import access
from identity.access import Caller
from identity.errors import Invalid, NotFound
from identity.key_handover import member_to_answer
from identity.models import ApiKey, Project
from identity.permissions import Permission


class PlacedSerializer(StrictSerializer):
    """Where it is to sit: `project_id` for the scope `project`, `key_id` for `key`, neither for `tenant`."""

    scope = serializers.ChoiceField(choices=Scope.values, help_text="The whole organisation is `tenant`.")
    project_id = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    key_id = TextField(required=False, max_length=16)


class NewBudgetSerializer(PlacedSerializer):
    """A budget to be set. There is one a place and period: setting it again changes it, what is spent stays counted."""

    period = serializers.ChoiceField(choices=Budget.Period.values)
    limit_nano_eur = serializers.IntegerField(min_value=0, max_value=HIGHEST_LIMIT)
    is_hard = serializers.BooleanField(required=False, default=True)
    may_lower_output = serializers.BooleanField(required=False, default=False)
    alert_percents = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=100),
        required=False,
        max_length=ALERTS_MAX,
        help_text="Of the limit, spent, at which people are told; left out: as it was, or 80 and 100.",
    )


class NewLimitSerializer(PlacedSerializer):
    """A limit to be set. There is one a place, kind and window: setting it again changes it."""

    what = serializers.ChoiceField(choices=Limit.What.values)
    window = serializers.ChoiceField(
        choices=Limit.Window.values, help_text="`none`, and only it, for requests at once."
    )
    amount = serializers.IntegerField(min_value=0, max_value=HIGHEST_AMOUNT)


class BudgetListView(BudgetsView):
    """`/api/budgets`, with what sets one."""

    @extend_schema(
        operation_id="budgets_set",
        summary="Set a budget",
        tags=["Budgets and limits"],
        request=NewBudgetSerializer,
        responses={200: BudgetSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Set or change a budget. Needs `budgets:manage`. Below what is spent it stops requests at once."""
        caller = _manager(self.caller(request))
        asked = _asked(NewBudgetSerializer, request)
        budget = set_budget(
            on=_holder(caller, asked),
            period=asked["period"],
            limit_nano_eur=asked["limit_nano_eur"],
            is_hard=asked["is_hard"],
            may_lower_output=asked["may_lower_output"],
            alert_percents=asked.get("alert_percents"),
            actor=caller.actor,
        )
        return _shown(caller, budget)


class LimitListView(LimitsView):
    """`/api/limits`, with what sets one."""

    @extend_schema(
        operation_id="limits_set",
        summary="Set a limit",
        tags=["Budgets and limits"],
        request=NewLimitSerializer,
        responses={200: LimitSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Set or change a limit. Needs `budgets:manage`."""
        caller = _manager(self.caller(request))
        asked = _asked(NewLimitSerializer, request)
        holder = _holder(caller, asked)
        values = {"what": asked["what"], "window": asked["window"], "amount": asked["amount"]}
        limit = set_limit(on=holder, **values, actor=caller.actor)
        [shown] = [one for one in limits_on(caller.tenant.pk, limit.scope, limit.scope_id) if one.id == limit.pk]
        return Response(LimitSerializer(shown, context=lookups_for(caller, [shown])).data)


class BudgetView(ApiView):
    """`/api/budgets/{budget_id}`."""

    @extend_schema(
        operation_id="budgets_end",
        summary="End a budget",
        tags=["Budgets and limits"],
        responses={204: None, **errors_of(400, 401, 403, 404)},
    )
    def delete(self, request: Request, budget_id: int) -> Response:
        """End a budget that somebody set; one of the contract stays. Needs `budgets:manage`."""
        caller = _manager(self.caller(request))
        remove_budget(budget=_budget_of(caller, budget_id), actor=caller.actor)
        return Response(status=204)


class RaiseSerializer(StrictSerializer):
    """A raise for a time."""

    limit_nano_eur = serializers.IntegerField(
        min_value=1, max_value=HIGHEST_LIMIT, help_text="More than the budget is without it."
    )
    until = TimeField(help_text="Within a year.")


class RaisedSerializer(serializers.Serializer[Any]):
    """A raise that runs."""

    budget_id = serializers.IntegerField()
    limit_nano_eur = serializers.IntegerField(source="raised_nano_eur")
    base_nano_eur = serializers.IntegerField(help_text="The limit before it, and after.")
    until = serializers.DateTimeField(source="raised_until")


class BudgetRaiseView(ApiView):
    """`/api/budgets/{budget_id}/raise`."""

    @extend_schema(
        operation_id="budgets_raise",
        summary="Raise a budget for a time",
        tags=["Budgets and limits"],
        request=RaiseSerializer,
        responses={200: RaisedSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def put(self, request: Request, budget_id: int) -> Response:
        """Raise a budget that somebody set until an instant; then it is as before within seconds, by itself. Another
        raise replaces it, and a change of the limit ends it. Needs `budgets:manage`.
        """
        caller = _manager(self.caller(request))
        asked, budget = _asked(RaiseSerializer, request), _budget_of(caller, budget_id)
        made = raise_budget(budget=budget, **asked, actor=caller.actor)
        return Response(RaisedSerializer(made).data)

    @extend_schema(
        operation_id="budgets_end_raise",
        summary="End the raise of a budget",
        tags=["Budgets and limits"],
        responses={204: None, **errors_of(401, 403, 404)},
    )
    def delete(self, request: Request, budget_id: int) -> Response:
        """End it now; 404 where none runs. Needs `budgets:manage`."""
        caller = _manager(self.caller(request))
        if not end_raise(budget=_budget_of(caller, budget_id), actor=caller.actor):
            raise NotFound("raise")
        return Response(status=204)


class BudgetDutySerializer(StrictSerializer):
    """Who is to answer for a budget."""

    responsible = serializers.UUIDField(allow_null=True, help_text="The pseudonym of a member; null: nobody.")


class BudgetDutyView(ApiView):
    """`/api/budgets/{budget_id}/responsible`."""

    @extend_schema(
        operation_id="budgets_choose_responsible",
        summary="Choose who answers for a budget",
        tags=["Budgets and limits"],
        request=BudgetDutySerializer,
        responses={200: BudgetSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def put(self, request: Request, budget_id: int) -> Response:
        """Have a member who sees what the budget is on, the contract's included, get its notices, whatever their role.
        When they leave, who takes over answers for it, else nobody. Needs `budgets:manage`.
        """
        caller = _manager(self.caller(request))
        asked, budget = _asked(BudgetDutySerializer, request), budget_to_answer_for(caller, budget_id)
        pseudonym = asked["responsible"]
        person = member_to_answer(caller, pseudonym) if pseudonym else None
        choose_responsible(budget=budget, person=person, actor=caller.actor)
        return _shown(caller, budget)


class LimitView(ApiView):
    """`/api/limits/{limit_id}`."""

    @extend_schema(
        operation_id="limits_end",
        summary="End a limit",
        tags=["Budgets and limits"],
        responses={204: None, **errors_of(400, 401, 403, 404)},
    )
    def delete(self, request: Request, limit_id: int) -> Response:
        """End a limit that somebody set; one of the contract stays. Needs `budgets:manage`."""
        caller = _manager(self.caller(request))
        found = Limit.objects.filter(pk=limit_id, tenant_id=caller.tenant.pk).first()
        holder = _holder_of_row(caller, found, "limit")
        remove_limit(limit=limit_on(holder, limit_id), actor=caller.actor)
        return Response(status=204)


def _shown(caller: Caller, budget: Budget) -> Response:
    [shown] = [one for one in budgets_on(caller.tenant.pk, budget.scope, budget.scope_id) if one.id == budget.pk]
    return Response(BudgetSerializer(shown, context=lookups_for(caller, [shown])).data)


def _manager(caller: Caller) -> Caller:
    """The scope is about the whole organisation, while a key else is confined to its project. Raises Forbidden."""
    caller.require(Permission.BUDGET_UPDATE)
    return replace(caller, project_ids=None)


def _budget_of(caller: Caller, budget_id: int) -> Budget:
    """An active budget of the tenant, of a project or of a key. Raises NotFound."""
    found = Budget.objects.filter(pk=budget_id, tenant_id=caller.tenant.pk).first()
    return budget_on(_holder_of_row(caller, found, "budget"), budget_id)


def _asked(serializer: type[StrictSerializer], request: Request) -> dict[str, Any]:
    asked = serializer(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def _holder(caller: Caller, asked: dict[str, Any]) -> Holder:
    """Raises Invalid where the place is not named by exactly its id, NotFound where there is none."""
    scope = asked["scope"]
    for name, its_scope in (("project_id", Scope.PROJECT), ("key_id", Scope.KEY)):
        if (name in asked) != (scope == its_scope):
            raise Invalid(name, f"It belongs to the scope {its_scope.value}, and is needed there.")
    if scope == Scope.PROJECT:
        return access.project_for(caller, asked["project_id"], Permission.BUDGET_UPDATE)
    if scope == Scope.KEY:
        return access.key_for(caller, asked["key_id"], Permission.BUDGET_UPDATE)
    return caller.tenant


def _holder_of_row(caller: Caller, row: Budget | Limit | None, name: str) -> Holder:
    if row is None:
        raise NotFound(name)
    if row.scope == Scope.TENANT:
        return caller.tenant
    within: Project | ApiKey | None
    if row.scope == Scope.PROJECT:
        within = Project.objects.filter(tenant=caller.tenant, pk=row.scope_id).first()
    else:
        within = ApiKey.objects.filter(tenant=caller.tenant, pk=row.scope_id).select_related("tenant").first()
    if within is None:
        raise NotFound(name)
    return within
