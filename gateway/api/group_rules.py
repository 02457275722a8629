"""What groups of an identity provider give in the organisation, from each person's next sign-in on."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.members import RoleSerializer, named_projects
from gateway.api.problems import errors_of
from gateway.api.queries import TextField
from gateway.api.view import ApiView
from identity import group_rules, providers
from identity.access import Caller
from identity.errors import NotFound
from identity.models import GroupRule, IdentityProvider, Role
from identity.permissions import Permission

_AUDIENCES = {"own": IdentityProvider.Audience.TENANT.value, "shared": IdentityProvider.Audience.SHARED.value}


def _provider() -> serializers.ChoiceField:
    return serializers.ChoiceField(
        choices=list(_AUDIENCES), help_text="Whose groups: the own provider's or the shared."
    )


class NewGroupRuleSerializer(RoleSerializer):
    """A rule to be."""

    provider = _provider()
    group = TextField(max_length=255, help_text="As the provider calls it.")


class GroupRuleSerializer(serializers.Serializer[Any]):
    """What members of a group are here."""

    id = serializers.IntegerField()
    provider = serializers.SerializerMethodField()
    group = serializers.CharField()
    role = serializers.ChoiceField(choices=[role.value for role in Role])
    project_ids = serializers.SerializerMethodField(help_text="Ids of the only projects; null: all, later ones too.")

    @extend_schema_field({"type": "string", "enum": list(_AUDIENCES)})
    def get_provider(self, rule: GroupRule) -> str:
        """The own one or the shared one."""
        return next(word for word, audience in _AUDIENCES.items() if audience == rule.provider.audience)

    @extend_schema_field({"type": "array", "items": {"type": "integer"}, "nullable": True})
    def get_project_ids(self, rule: GroupRule) -> list[int] | None:
        """Null: all."""
        return None if rule.in_all_projects else [project.pk for project in rule.projects.all()]


class GroupRuleListSerializer(serializers.Serializer[Any]):
    """All rules, by group; there are 500 at most."""

    results = GroupRuleSerializer(many=True)


class GroupRulesView(ApiView):
    """`/api/group-rules`."""

    @extend_schema(
        operation_id="group_rules_list",
        summary="List what groups give",
        tags=["Sign-in"],
        responses={200: GroupRuleListSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the rules. Needs `identity:manage`."""
        caller = self.caller(request)
        caller.require(Permission.PROVIDER_READ)
        rules = group_rules.rules_of(caller.tenant).prefetch_related("projects")
        return Response({"results": GroupRuleSerializer(rules, many=True).data})

    @extend_schema(
        operation_id="group_rules_create",
        summary="Let a group give a role",
        tags=["Sign-in"],
        request=NewGroupRuleSerializer,
        responses={201: GroupRuleSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Members of the group are this from their next sign-in on. Needs `identity:manage` and `members:manage`, and
        gives nobody more than the key has: as for an invitation, its own project and what it may do itself.
        """
        caller = _manager(self.caller(request))
        asked = NewGroupRuleSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        rule = group_rules.add_rule(
            by=caller,
            provider=_named(caller, given["provider"]),
            group=given["group"],
            role=Role(given["role"]),
            projects=named_projects(caller, given["project_ids"]),
        )
        return Response(GroupRuleSerializer(rule).data, status=201)


class GroupRuleView(ApiView):
    """`/api/group-rules/{rule_id}`."""

    @extend_schema(
        operation_id="group_rules_delete",
        summary="Take a rule away",
        tags=["Sign-in"],
        responses={204: None, **errors_of(401, 403, 404)},
    )
    def delete(self, request: Request, rule_id: int) -> Response:
        """Take it away: who is a member by it alone is none from the next sign-in on. Needs what making it needs."""
        group_rules.remove_rule(by=_manager(self.caller(request)), rule_id=rule_id)
        return Response(status=204)


def _manager(caller: Caller) -> Caller:
    caller.require(Permission.PROVIDER_READ)
    caller.require(Permission.MEMBER_UPDATE)
    return caller


def _named(caller: Caller, which: str) -> IdentityProvider:
    if which == "own":
        found = providers.provider_of(caller.tenant)
    else:
        shared = providers.shared_version()
        found = shared.provider if shared else None
    if found is None:
        raise NotFound("provider")
    return found
