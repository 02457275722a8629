"""Organisation rules, for those who run the platform; what they would make of groups; which organisations they feed."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.tenants.group_organisations import GroupOutcome, make_organisations, plan_groups
from billing.tenants.organisation_rules import (
    MADE_MAX,
    NAME_PATTERN_LENGTH_MAX,
    RuleWish,
    put_rule,
    remove_rule,
    rule_by_code,
    rules_with_counts,
)
from billing.tenants.tenants import WISHES_MAX
from gateway.api.operator.view import OperatorApiView, page_of, tenant_of
from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, StrictSerializer, TextField, YesNoField
from identity.errors import NotFound
from identity.group_feeds import begin_feeding, end_feeding, feed_of
from identity.group_patterns import GROUP_LENGTH_MAX, PATTERN_LENGTH_MAX
from identity.models import Role, Tenant

CODE = OpenApiParameter("code", str, "path", description="Lower case, digits, hyphens and underscores: 63 at most.")
_PATTERN_HELP = (
    "A group's name, in which one `*` stands for the organisation: 1 to 63 letters, digits and `. _ -`. Letters count "
    "as they are. Where several rules fit a name, the one that says most of it decides."
)
_JOINS_HELP = (
    "The code of the rule whose organisations it is about, as owners' groups join the groups of departments; empty: "
    "its own, which no other rule reaches that does not join it."
)
_ID_HELP = "The external id of organisations; the `*` is what stands in the group's name."
_NAME_HELP = "What organisations are called; the `*` is what stands in the group's name, tidied."


class OrganisationRuleSerializer(serializers.Serializer[Any]):
    """What groups of the shared provider are."""

    code = serializers.CharField()
    pattern = serializers.CharField(help_text=_PATTERN_HELP)
    role = serializers.ChoiceField(choices=Role.values, help_text="What the group's members are in the organisation.")
    makes = serializers.BooleanField(help_text="Whether it makes the organisation where there is none.")
    tier = serializers.CharField(help_text="The code of the tier that those are on; empty for a rule that makes none.")
    time_zone = serializers.CharField()
    name_pattern = serializers.CharField(help_text=_NAME_HELP)
    id_pattern = serializers.CharField(help_text=_ID_HELP)
    joins = serializers.CharField(help_text=_JOINS_HELP)
    made_max = serializers.IntegerField(help_text="How many it makes at most, in all.")
    made = serializers.IntegerField(help_text="How many it made, which groups feed still.")


class OrganisationRulePageSerializer(serializers.Serializer[Any]):
    """Rules, in the order in which they came."""

    results = OrganisationRuleSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class WishedOrganisationRuleSerializer(StrictSerializer):
    """How a rule is to be, all of it: what is left out is as it says here."""

    pattern = TextField(max_length=PATTERN_LENGTH_MAX, help_text=_PATTERN_HELP)
    role = serializers.ChoiceField(choices=Role.values)
    makes = YesNoField(required=False, help_text="Left out: no; it only brings members to those that there are.")
    tier = TextField(required=False, allow_blank=True, max_length=32, help_text="For a rule that makes organisations.")
    time_zone = TextField(required=False, max_length=64, help_text="`Europe/Paris` unless given.")
    name_pattern = TextField(
        required=False, max_length=NAME_PATTERN_LENGTH_MAX, help_text=f"{_NAME_HELP} `*` unless given."
    )
    id_pattern = TextField(required=False, max_length=63, help_text=f"{_ID_HELP} `*` unless given.")
    joins = TextField(required=False, allow_blank=True, max_length=63, help_text=_JOINS_HELP)
    made_max = serializers.IntegerField(required=False, min_value=1, max_value=MADE_MAX, help_text="300 unless given.")


class GroupImportSerializer(StrictSerializer):
    """Groups whose organisations are to be made."""

    groups = serializers.ListField(child=TextField(max_length=GROUP_LENGTH_MAX), max_length=WISHES_MAX)
    dry_run = YesNoField(default=True, help_text="Only say what would be done.")


class GroupImportLineSerializer(serializers.Serializer[Any]):
    """What comes of a group."""

    group = serializers.CharField()
    outcome = serializers.ChoiceField(
        choices=[outcome.value for outcome in GroupOutcome],
        help_text="`made`: its organisation is; `there`: it was; `refused`: a rule is about the group, and gives "
        "nothing; `ignored`: no rule is about it.",
    )
    rule = serializers.CharField(source="rule.code", default="", help_text="The code of the rule that decides.")
    external_id = serializers.CharField(source="word", help_text="The organisation that the name means.")
    role = serializers.CharField(source="rule.role", default="", help_text="What its members are there.")
    tier = serializers.CharField(source="wish.tier", default="", help_text="Of one that is made.")
    fault = serializers.CharField(help_text="Why it is refused; empty otherwise.")


class GroupImportResultSerializer(serializers.Serializer[Any]):
    """What came, or would come, of groups."""

    is_done = serializers.BooleanField(help_text="Whether any organisation was made.")
    lines = GroupImportLineSerializer(many=True)


class GroupFeedSerializer(serializers.Serializer[Any]):
    """That an organisation rule, and those that join it, feed an organisation."""

    word = serializers.CharField(help_text="The external id that groups mean it by, also if its own changes.")
    rule = serializers.CharField(source="rule.code", default="", help_text="Its code; empty: it is gone.")
    is_made = serializers.BooleanField(help_text="Whether the rule made it; else somebody chose it.")
    gives_administrators = serializers.BooleanField(
        help_text="Whether rules make owners and administrators too: not where somebody owned it before."
    )
    since = serializers.DateTimeField(source="created_at")


class WishedGroupFeedSerializer(StrictSerializer):
    """Which rule is to feed it."""

    rule = TextField(max_length=63, help_text="The code of a rule that joins no other.")


class OrganisationRulesView(OperatorApiView):
    """`/api/operator/organisation-rules`."""

    noun = "tenants"

    @extend_schema(
        operation_id="operator_organisation_rules_list",
        summary="List organisation rules",
        tags=["Operator"],
        parameters=[PageQuery],
        responses={200: OrganisationRulePageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the rules that say which groups of the shared provider are an organisation. Needs `tenants:read`."""
        rules = rules_with_counts().order_by("pk")
        return page_of(request, rules, lambda page: OrganisationRuleSerializer(page, many=True).data)


class OrganisationRuleView(OperatorApiView):
    """`/api/operator/organisation-rules/{code}`."""

    noun = "tenants"

    @extend_schema(
        operation_id="operator_organisation_rules_read",
        summary="Read one organisation rule",
        tags=["Operator"],
        parameters=[CODE],
        responses={200: OrganisationRuleSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, code: str) -> Response:
        """Read one rule. Needs `tenants:read`."""
        return Response(OrganisationRuleSerializer(rule_by_code(code)).data)

    @extend_schema(
        operation_id="operator_organisation_rules_put",
        summary="Make an organisation rule, or change it",
        tags=["Operator"],
        parameters=[CODE],
        request=WishedOrganisationRuleSerializer,
        responses={
            200: OrganisationRuleSerializer,
            201: OrganisationRuleSerializer,
            **errors_of(400, 401, 403, 404, 409, 413, 415),
        },
    )
    def put(self, request: Request, code: str) -> Response:
        """Make the rule as it is described, or change what differs; the same again changes nothing. Memberships follow
        at the next sign-in of each. Needs `tenants:write`.
        """
        asked = WishedOrganisationRuleSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        wish = RuleWish(**given | {"role": Role(given["role"])})
        _, is_new = put_rule(by=self.operator(request), code=code, wish=wish)
        return Response(OrganisationRuleSerializer(rule_by_code(code)).data, status=201 if is_new else 200)

    @extend_schema(
        operation_id="operator_organisation_rules_delete",
        summary="Remove an organisation rule",
        tags=["Operator"],
        parameters=[CODE],
        responses={204: None, **errors_of(401, 403, 404, 409)},
    )
    def delete(self, request: Request, code: str) -> Response:
        """Take the rule away. What it made stays; who is a member by it alone stops being one, with all keys, at the
        next sign-in. 409 while others join it. Needs `tenants:write`.
        """
        remove_rule(by=self.operator(request), code=code)
        return Response(status=204)


class GroupImportsView(OperatorApiView):
    """`/api/operator/group-imports`."""

    noun = "tenants"

    @extend_schema(
        operation_id="operator_groups_import",
        summary="Make organisations of groups",
        tags=["Operator"],
        request=GroupImportSerializer,
        responses={200: GroupImportResultSerializer, **errors_of(400, 401, 403, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Say what the rules make of groups of these names and, with `"dry_run": false`, make the organisations that
        are not there. Once more does what is missing. Needs `tenants:write`.
        """
        asked = GroupImportSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given, by = asked.validated_data, self.operator(request)
        do = plan_groups if given["dry_run"] else make_organisations
        plans = do(by=by, groups=given["groups"])
        is_done = not given["dry_run"] and any(plan.outcome == GroupOutcome.MADE for plan in plans)
        return Response({"is_done": is_done, "lines": GroupImportLineSerializer(plans, many=True).data})


class GroupFeedView(OperatorApiView):
    """`/api/operator/tenants/{external_id}/group-feed`."""

    noun = "tenants"

    @extend_schema(
        operation_id="operator_tenants_group_feed_read",
        summary="Read whether groups feed an organisation",
        tags=["Operator"],
        responses={200: GroupFeedSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, external_id: str) -> Response:
        """Read since when, and as what, organisation rules feed it; 404 where they do not. Needs `tenants:read`."""
        return _shown(tenant_of(external_id), status=200)

    @extend_schema(
        operation_id="operator_tenants_group_feed_put",
        summary="Let groups feed an organisation",
        tags=["Operator"],
        request=WishedGroupFeedSerializer,
        responses={
            200: GroupFeedSerializer,
            201: GroupFeedSerializer,
            **errors_of(400, 401, 403, 404, 409, 413, 415),
        },
    )
    def put(self, request: Request, external_id: str) -> Response:
        """Let a rule, and those that join it, give memberships in an organisation that it did not make. Who administers
        it is told; where it has an owner, rules make no owners and administrators. The same again changes nothing.
        Needs `tenants:write`.
        """
        tenant = tenant_of(external_id)
        asked = WishedGroupFeedSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        is_new = begin_feeding(by=self.operator(request), tenant=tenant, rule=asked.validated_data["rule"])
        return _shown(tenant, status=201 if is_new else 200)

    @extend_schema(
        operation_id="operator_tenants_group_feed_delete",
        summary="End that groups feed an organisation",
        tags=["Operator"],
        responses={204: None, **errors_of(401, 403, 404)},
    )
    def delete(self, request: Request, external_id: str) -> Response:
        """Let rules give nothing there any more: who is a member by them alone stops being one at the next sign-in.
        Needs `tenants:write`.
        """
        if not end_feeding(by=self.operator(request), tenant=tenant_of(external_id)):
            raise NotFound("feed")
        return Response(status=204)


def _shown(tenant: Tenant, *, status: int) -> Response:
    feed = feed_of(tenant)
    if feed is None:
        raise NotFound("feed")
    return Response(GroupFeedSerializer(feed).data, status=status)
