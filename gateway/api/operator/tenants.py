"""Tenants, for those who run the platform: made and changed by what their own systems call them."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.tenants.closing import close_tenant
from billing.tenants.listed import (
    SEARCH_LENGTH_MAX,
    tenant_by_external_id,
    tenants_for,
)
from billing.tenants.tenants import WISHES_MAX, Outcome, Plan, TenantWish, import_tenants, plan_tenants, put_tenant
from gateway.api.operator.view import OperatorApiView
from gateway.api.problems import errors_of
from gateway.api.queries import (
    PageQuery,
    StrictMember,
    StrictSerializer,
    TextField,
    YesNoField,
    next_address,
    parameters,
)
from identity.errors import NotFound
from identity.models import Tenant
from identity.operators import Operator
from identity.tenants import reactivate_tenant, suspend_tenant
from identity.wording import NAME_LENGTH_MAX

_EXTERNAL_ID_HELP = "What your own systems call it: 1 to 128 letters, digits and `. _ : @ -`."


class OperatedTenantSerializer(serializers.Serializer[Any]):
    """An organisation as the operator sees it. Money is whole numbers of nano-EUR."""

    external_id = serializers.CharField(help_text=f"{_EXTERNAL_ID_HELP} Empty: they do not know it.")
    slug = serializers.CharField(help_text="What stands in the addresses of its pages; it stays.")
    name = serializers.CharField()
    time_zone = serializers.CharField()
    status = serializers.CharField(help_text="`active` or `suspended`.")
    suspended_at = serializers.DateTimeField(allow_null=True)
    suspended_reason = serializers.CharField(help_text="Empty for one that is active.")
    tier = serializers.CharField(help_text="The code of the tier that its contract is made from; empty: no contract.")
    owner = serializers.CharField(help_text="Name of its first owner, or the address that is invited; empty: nobody.")
    owner_is_invited = serializers.BooleanField(help_text="It has no owner yet.")
    spent_nano_eur = serializers.IntegerField(help_text="Charged this month.")
    limit_nano_eur = serializers.IntegerField(allow_null=True, help_text="Its budget a month; null: none.")
    last_request_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class OperatedTenantPageSerializer(serializers.Serializer[Any]):
    """Organisations, by name."""

    results = OperatedTenantSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class TenantsQuery(PageQuery):
    """Which organisations."""

    q = serializers.CharField(
        required=False, max_length=SEARCH_LENGTH_MAX, help_text="In the name, slug or external id."
    )
    status = serializers.ChoiceField(required=False, choices=[status.value for status in Tenant.Status])
    tier = serializers.CharField(required=False, max_length=32, help_text="With a contract of the tier of this code.")


class _WishedMembers(serializers.Serializer[Any]):
    name = TextField(max_length=NAME_LENGTH_MAX)
    tier = TextField(
        max_length=32,
        help_text="The code of a tier. Another one than that of the contract in force starts a new contract, which "
        "takes `tiers:write` or `billing:write` too.",
    )
    owner = TextField(
        required=False,
        allow_blank=True,
        max_length=254,
        help_text="An e-mail address that is invited while the organisation has no owner; later it does nothing.",
    )
    slug = TextField(
        required=False,
        allow_blank=True,
        max_length=63,
        help_text="What stands in the addresses of its pages; made of the external id unless given. It stays. Given "
        "the slug of an organisation without external id, that one is taken over.",
    )
    time_zone = TextField(required=False, max_length=64, help_text="`Europe/Paris` unless given.")


class WishedTenantSerializer(StrictSerializer, _WishedMembers):
    """How an organisation is to be."""


class ImportedTenantSerializer(StrictMember, _WishedMembers):
    """A line of an import."""

    external_id = TextField(max_length=128, help_text=_EXTERNAL_ID_HELP)


class TenantImportSerializer(StrictSerializer):
    """Organisations to be made or changed together."""

    tenants = serializers.ListField(child=ImportedTenantSerializer(), max_length=WISHES_MAX)
    dry_run = YesNoField(default=True, help_text="Only say what would be done.")
    skip_refused = YesNoField(default=False, help_text="Do what can be done. Else nothing is, where a line is refused.")


class TenantImportLineSerializer(serializers.Serializer[Any]):
    """What comes of a line."""

    external_id = serializers.CharField(source="wish.external_id")
    outcome = serializers.ChoiceField(choices=[outcome.value for outcome in Outcome])
    changes = serializers.SerializerMethodField(help_text="Member -> `before` and `after`.")
    fault = serializers.CharField(help_text="Why it is refused; empty otherwise.")

    @extend_schema_field(
        {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {"before": {"type": "string"}, "after": {"type": "string"}},
            },
        }
    )
    def get_changes(self, plan: Plan) -> dict[str, dict[str, str]]:
        """Both values of each."""
        return {member: {"before": values[0], "after": values[1]} for member, values in plan.changes.items()}


class TenantImportResultSerializer(serializers.Serializer[Any]):
    """What came, or would come, of an import."""

    is_done = serializers.BooleanField(help_text="Whether anything was written: no dry run, and no line in the way.")
    lines = TenantImportLineSerializer(many=True)


class ReasonSerializer(StrictSerializer):
    """Why; the organisation's members are told."""

    reason = TextField(max_length=NAME_LENGTH_MAX)


class OperatedTenantsView(OperatorApiView):
    """`/api/operator/tenants`."""

    noun = "tenants"

    @extend_schema(
        operation_id="operator_tenants_list",
        summary="List organisations with what they spent",
        tags=["Operator"],
        parameters=[TenantsQuery],
        responses={200: OperatedTenantPageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List all organisations by name. Needs `tenants:read`."""
        given = parameters(TenantsQuery, request)
        page = tenants_for(
            self.operator(request),
            size=given["limit"],
            after=given.get("cursor", 0),
            text=given.get("q", ""),
            status=given.get("status", ""),
            tier=given.get("tier", ""),
        )
        results = OperatedTenantSerializer(page.tenants, many=True).data
        return Response({"results": results, "next": next_address(request, page.next)})


class OperatedTenantView(OperatorApiView):
    """`/api/operator/tenants/{external_id}`."""

    noun = "tenants"

    @extend_schema(
        operation_id="operator_tenants_read",
        summary="Read one organisation",
        tags=["Operator"],
        responses={200: OperatedTenantSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, external_id: str) -> Response:
        """Read one organisation. Needs `tenants:read`."""
        return Response(OperatedTenantSerializer(tenant_by_external_id(self.operator(request), external_id)).data)

    @extend_schema(
        operation_id="operator_tenants_put",
        summary="Make an organisation, or change it",
        tags=["Operator"],
        request=WishedTenantSerializer,
        responses={
            200: OperatedTenantSerializer,
            201: OperatedTenantSerializer,
            **errors_of(400, 401, 403, 404, 409, 413, 415),
        },
    )
    def put(self, request: Request, external_id: str) -> Response:
        """Make the organisation as it is described, with contract, project and the invitation of its owner; or change
        what differs. The same again changes nothing. Needs `tenants:write`.
        """
        asked = WishedTenantSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        operator = self.operator(request)
        plan = put_tenant(by=operator, wish=TenantWish(external_id=external_id, **asked.validated_data))
        assert plan.tenant is not None
        shown = OperatedTenantSerializer(tenant_by_external_id(operator, external_id)).data
        return Response(shown, status=201 if plan.outcome == Outcome.MADE else 200)


class TenantImportsView(OperatorApiView):
    """`/api/operator/tenant-imports`."""

    noun = "tenants"

    @extend_schema(
        operation_id="operator_tenants_import",
        summary="Make or change many organisations",
        tags=["Operator"],
        request=TenantImportSerializer,
        responses={200: TenantImportResultSerializer, **errors_of(400, 401, 403, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Do with each line what a `PUT` of it would do, after all were looked at; without `"dry_run": false`, only
        look. Needs `tenants:write`. Once more does what is missing.
        """
        asked = TenantImportSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given, operator = asked.validated_data, self.operator(request)
        wishes = [TenantWish(**line) for line in given["tenants"]]
        if given["dry_run"]:
            plans, is_done = plan_tenants(by=operator, wishes=wishes), False
        else:
            plans = import_tenants(by=operator, wishes=wishes, skip_refused=given["skip_refused"])
            is_done = any(plan.outcome in (Outcome.MADE, Outcome.CHANGED) and plan.tenant for plan in plans)
        return Response({"is_done": is_done, "lines": TenantImportLineSerializer(plans, many=True).data})


class SuspendTenantView(OperatorApiView):
    """`/api/operator/tenants/{external_id}/suspend`."""

    noun = "tenants"

    @extend_schema(
        operation_id="operator_tenants_suspend",
        summary="Suspend an organisation",
        tags=["Operator"],
        request=ReasonSerializer,
        responses={200: OperatedTenantSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def post(self, request: Request, external_id: str) -> Response:
        """Refuse its keys within a second. Its people still sign in, read and export, and are told the reason. Needs
        `tenants:write`. Once more changes nothing.
        """
        return _with_reason(request, self.operator(request), external_id, suspend_tenant)


class ReactivateTenantView(OperatorApiView):
    """`/api/operator/tenants/{external_id}/reactivate`."""

    noun = "tenants"

    @extend_schema(
        operation_id="operator_tenants_reactivate",
        summary="End the suspension of an organisation",
        tags=["Operator"],
        request=ReasonSerializer,
        responses={200: OperatedTenantSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def post(self, request: Request, external_id: str) -> Response:
        """Take its keys again. Its people are told the reason. Needs `tenants:write`."""
        return _with_reason(request, self.operator(request), external_id, reactivate_tenant)


class CloseTenantView(OperatorApiView):
    """`/api/operator/tenants/{external_id}/close`."""

    noun = "tenants"

    @extend_schema(
        operation_id="operator_tenants_close",
        summary="Close an organisation that was made by mistake",
        tags=["Operator"],
        request=ReasonSerializer,
        responses={204: None, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def post(self, request: Request, external_id: str) -> Response:
        """For good, and only where nothing of it was ever used: then nobody finds it any more, its external id and slug
        are free again, and its chain of audit stays. Needs `tenants:write`.
        """
        _changed(request, self.operator(request), external_id, close_tenant)
        return Response(status=204)


def _with_reason(request: Request, operator: Operator, external_id: str, verb: Callable[..., bool]) -> Response:
    _changed(request, operator, external_id, verb)
    return Response(OperatedTenantSerializer(tenant_by_external_id(operator, external_id)).data)


def _changed(request: Request, operator: Operator, external_id: str, verb: Callable[..., bool]) -> None:
    tenant = Tenant.objects.filter(external_id=external_id).first()
    if tenant is None:
        raise NotFound("tenant")
    asked = ReasonSerializer(data=request.data)
    asked.is_valid(raise_exception=True)
    verb(tenant, by=operator, reason=asked.validated_data["reason"])
