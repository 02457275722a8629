"""People who have signed in, belong nowhere yet, and ask to be let in."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.members import MemberSerializer, RoleSerializer, named_projects
from gateway.api.problems import errors_of
from gateway.api.view import ApiView
from identity import access_requests
from identity.member_list import member_for
from identity.models import Role
from identity.permissions import Permission


class AccessRequestSerializer(serializers.Serializer[Any]):
    """Somebody who asks."""

    id = serializers.IntegerField()
    person = serializers.UUIDField(source="person.pseudonym", help_text="The person's pseudonym.")
    name = serializers.CharField(source="person.name")
    email = serializers.EmailField(source="person.email")
    message = serializers.CharField(help_text="What they wrote; may be empty.")
    created_at = serializers.DateTimeField()


class AccessRequestListSerializer(serializers.Serializer[Any]):
    """What waits for an answer, the oldest first."""

    results = AccessRequestSerializer(many=True)


class AccessRequestsView(ApiView):
    """`/api/access-requests`."""

    @extend_schema(
        operation_id="access_requests_list",
        summary="List who asks to be let in",
        tags=["People"],
        responses={200: AccessRequestListSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the requests that nobody has answered. Needs `members:read`."""
        found = access_requests.open_requests(self.caller(request))
        return Response({"results": AccessRequestSerializer(found, many=True).data})


class ApproveAccessView(ApiView):
    """`/api/access-requests/{asked_id}/approve`."""

    @extend_schema(
        operation_id="access_requests_approve",
        summary="Let somebody in",
        tags=["People"],
        request=RoleSerializer,
        responses={200: MemberSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def post(self, request: Request, asked_id: int) -> Response:
        """Make who asks a member, with a role that may do no more than the key itself. Needs `members:manage`."""
        caller = self.caller(request)
        caller.require(Permission.MEMBER_UPDATE)
        asked = RoleSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        membership = access_requests.approve(
            by=caller,
            request_id=asked_id,
            role=Role(asked.validated_data["role"]),
            projects=named_projects(caller, asked.validated_data["project_ids"]),
            now=timezone.now(),
        )
        return Response(MemberSerializer(member_for(caller, membership.person.pseudonym)).data)


class RefuseAccessView(ApiView):
    """`/api/access-requests/{asked_id}/refuse`."""

    @extend_schema(
        operation_id="access_requests_refuse",
        summary="Do not let somebody in",
        tags=["People"],
        request=None,
        responses={204: None, **errors_of(401, 403, 404)},
    )
    def post(self, request: Request, asked_id: int) -> Response:
        """Answer with no. Needs `members:manage`."""
        access_requests.refuse(by=self.caller(request), request_id=asked_id, now=timezone.now())
        return Response(status=204)
