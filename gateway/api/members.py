"""People of the organisation: members, invitations, access reviews, support sessions.

What a key does here it does within itself: it changes only members who may do no more than the key, in its own project,
and makes nobody stronger (I6). Whatever is above that is done by a person, in the console.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, Query, StrictSerializer, next_address, parameters
from gateway.api.view import ApiView
from identity import access, access_reviews, invitations, members, support_sessions, unlinking
from identity.access import Caller
from identity.key_handover import member_to_answer
from identity.member_list import Member, member_for, members_of
from identity.models import Invitation, Project, Role, SupportSession
from identity.permissions import Permission

_PROJECTS = "Ids of the only projects; null: all, later ones too."


def _role() -> serializers.ChoiceField:
    return serializers.ChoiceField(choices=[role.value for role in Role])


class MemberSerializer(serializers.Serializer[Any]):
    """A member."""

    id = serializers.UUIDField(source="person.pseudonym", help_text="The person's pseudonym.")
    name = serializers.CharField(source="person.name")
    email = serializers.EmailField(source="person.email")
    role = _role()
    project_ids = serializers.SerializerMethodField(help_text=_PROJECTS)
    source = serializers.CharField(  # type: ignore[assignment]  # a field of ours, not the attribute
        help_text="`invitation`, `group` or `scim`: the last two are changed at the identity provider."
    )
    since = serializers.DateTimeField()
    last_sign_in_at = serializers.DateTimeField(allow_null=True, help_text="Null: never.")
    mfa_seen = serializers.BooleanField(help_text="Whether a second factor was seen at the last sign-in.")
    live_keys = serializers.IntegerField(help_text="Personal keys that work.")
    answers_for = serializers.IntegerField(help_text="Keys of projects that the person answers for.")

    @extend_schema_field({"type": "array", "items": {"type": "integer"}, "nullable": True})
    def get_project_ids(self, member: Member) -> list[int] | None:
        """Null: all."""
        return None if member.projects is None else [project.pk for project in member.projects]


class MemberPageSerializer(serializers.Serializer[Any]):
    """Members, by name."""

    results = MemberSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class RoleSerializer(StrictSerializer):
    """A role in some projects."""

    role = _role()
    project_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1), allow_null=True, max_length=1_000, help_text=_PROJECTS
    )


class NewInvitationSerializer(RoleSerializer):
    """Somebody to be invited."""

    email = serializers.EmailField(max_length=254)


class InvitationSerializer(serializers.Serializer[Any]):
    """An invitation that is open."""

    id = serializers.IntegerField()
    email = serializers.EmailField()
    role = _role()
    project_ids = serializers.SerializerMethodField(help_text=_PROJECTS)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()

    @extend_schema_field({"type": "array", "items": {"type": "integer"}, "nullable": True})
    def get_project_ids(self, invitation: Invitation) -> list[int] | None:
        """Null: all."""
        return None if invitation.in_all_projects else [project.pk for project in invitation.projects.all()]


class InvitationPageSerializer(serializers.Serializer[Any]):
    """Open invitations, the newest first."""

    results = InvitationSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class ReviewSerializer(serializers.Serializer[Any]):
    """An access review."""

    id = serializers.IntegerField()
    started_at = serializers.DateTimeField()
    signed_off_at = serializers.DateTimeField(allow_null=True, help_text="Null: it is open.")
    members = serializers.IntegerField(required=False)
    undecided = serializers.IntegerField(required=False)


class ReviewPageSerializer(serializers.Serializer[Any]):
    """Access reviews, the newest first."""

    results = ReviewSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class ReviewLineSerializer(serializers.Serializer[Any]):
    """A member as the review found them, and what was decided."""

    member = serializers.UUIDField(source="pseudonym")
    role = serializers.CharField()
    in_all_projects = serializers.BooleanField()
    projects = serializers.ListField(child=serializers.CharField())
    source = serializers.CharField()  # type: ignore[assignment]  # a field of ours, not the attribute
    last_sign_in_at = serializers.DateTimeField(allow_null=True)
    live_keys = serializers.IntegerField()
    decision = serializers.CharField(help_text="`confirmed`, `changed`, `removed`; empty: not yet.")
    role_after = serializers.CharField()
    decided_at = serializers.DateTimeField(allow_null=True)


class FullReviewSerializer(ReviewSerializer):
    """An access review with its lines."""

    lines = ReviewLineSerializer(many=True)


class SupportSessionSerializer(serializers.Serializer[Any]):
    """A stay of the operator's in the organisation."""

    id = serializers.IntegerField()
    operator = serializers.SerializerMethodField(help_text="The pseudonym of who it was.")
    reason = serializers.CharField()
    opened_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True, help_text="When somebody ended it before its time.")
    granted = serializers.ListField(child=serializers.CharField(), help_text="What an owner added to reading.")
    granted_until = serializers.DateTimeField(allow_null=True)

    @extend_schema_field({"type": "string", "format": "uuid", "nullable": True})
    def get_operator(self, session: SupportSession) -> str | None:
        """A pseudonym: it stays when the person is erased."""
        return str(session.operator.pseudonym) if session.operator else None


class SupportSessionPageSerializer(serializers.Serializer[Any]):
    """Support sessions, the newest first."""

    results = SupportSessionSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class HeirQuery(Query):
    """Who takes over."""

    heir = serializers.UUIDField(
        required=False,
        help_text="Who answers from now on for the keys, projects and budgets of the person; else nobody does.",
    )


class MembersView(ApiView):
    """`/api/members`."""

    @extend_schema(
        operation_id="members_list",
        summary="List members",
        tags=["People"],
        parameters=[PageQuery],
        responses={200: MemberPageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List who is in the organisation, by name. Needs `members:read`."""
        return _page(request, members_of(self.caller(request)), MemberSerializer)


class MemberView(ApiView):
    """`/api/members/{pseudonym}`."""

    @extend_schema(
        operation_id="members_read",
        summary="Read one member",
        tags=["People"],
        responses={200: MemberSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, pseudonym: UUID) -> Response:
        """Read one member. Needs `members:read`."""
        return Response(MemberSerializer(member_for(self.caller(request), pseudonym)).data)

    @extend_schema(
        operation_id="members_change",
        summary="Change a member's role",
        tags=["People"],
        request=RoleSerializer,
        responses={200: MemberSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def patch(self, request: Request, pseudonym: UUID) -> Response:
        """Give a member another role or other projects, within what the key itself may. Needs `members:manage`."""
        caller = self.caller(request)
        found = member_for(caller, pseudonym)
        caller.require(Permission.MEMBER_UPDATE)
        asked = _asked(RoleSerializer, request)
        members.change_member(
            by=caller,
            person=found.person,
            role=Role(asked["role"]),
            projects=named_projects(caller, asked["project_ids"]),
        )
        return Response(MemberSerializer(member_for(caller, pseudonym)).data)

    @extend_schema(
        operation_id="members_remove",
        summary="Remove a member",
        tags=["People"],
        parameters=[HeirQuery],
        responses={204: None, **errors_of(400, 401, 403, 404, 409)},
    )
    def delete(self, request: Request, pseudonym: UUID) -> Response:
        """End a membership; personal keys stop. Needs `members:manage`."""
        caller = self.caller(request)
        found = member_for(caller, pseudonym)
        heir = parameters(HeirQuery, request).get("heir")
        taking_over = member_to_answer(caller, heir) if heir else None
        members.remove_member(by=caller, person=found.person, heir=taking_over)
        return Response(status=204)


class MemberIdentityView(ApiView):
    """`/api/members/{pseudonym}/identity`."""

    @extend_schema(
        operation_id="members_unlink",
        summary="Unlink a member from the identity provider",
        tags=["People"],
        responses={204: None, **errors_of(401, 403, 404, 409)},
    )
    def delete(self, request: Request, pseudonym: UUID) -> Response:
        """Unlink a member from an account at the organisation's own provider that was made anew there: the next
        sign-in with the verified address links the new one. Sessions that it vouched for end. Needs `members:manage`.
        """
        caller = self.caller(request)
        found = member_for(caller, pseudonym)
        unlinking.unlink_member(by=caller, person=found.person, now=timezone.now())
        return Response(status=204)


class InvitationsView(ApiView):
    """`/api/invitations`."""

    @extend_schema(
        operation_id="invitations_list",
        summary="List open invitations",
        tags=["People"],
        parameters=[PageQuery],
        responses={200: InvitationPageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the invitations that are open. Needs `members:read`."""
        found = invitations.invitations_for(self.caller(request)).prefetch_related("projects")
        return _page(request, found, InvitationSerializer)

    @extend_schema(
        operation_id="invitations_create",
        summary="Invite somebody",
        tags=["People"],
        request=NewInvitationSerializer,
        responses={201: InvitationSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Invite an address, to a role that may do no more than the key itself. Needs `members:manage`."""
        caller = self.caller(request)
        caller.require(Permission.MEMBER_INVITE)
        asked = _asked(NewInvitationSerializer, request)
        invitation = invitations.invite(
            by=caller,
            email=asked["email"],
            role=Role(asked["role"]),
            projects=named_projects(caller, asked["project_ids"]),
        )
        return Response(InvitationSerializer(invitation).data, status=201)


class InvitationView(ApiView):
    """`/api/invitations/{invitation_id}`."""

    @extend_schema(
        operation_id="invitations_withdraw",
        summary="Withdraw an invitation",
        tags=["People"],
        responses={204: None, **errors_of(401, 403, 404)},
    )
    def delete(self, request: Request, invitation_id: int) -> Response:
        """Take an open invitation back. Needs `members:manage`."""
        invitations.withdraw(by=self.caller(request), invitation_id=invitation_id)
        return Response(status=204)


class ReviewsView(ApiView):
    """`/api/access-reviews`."""

    @extend_schema(
        operation_id="access_reviews_list",
        summary="List access reviews",
        tags=["People"],
        parameters=[PageQuery],
        responses={200: ReviewPageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the access reviews. People start, decide and sign them, in the console. Needs `members:read`."""
        return _page(request, access_reviews.reviews_for(self.caller(request)), ReviewSerializer)


class ReviewView(ApiView):
    """`/api/access-reviews/{review_id}`."""

    @extend_schema(
        operation_id="access_reviews_read",
        summary="Read an access review",
        tags=["People"],
        responses={200: FullReviewSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, review_id: int) -> Response:
        """Read a review and its lines. Needs `members:read`."""
        review = access_reviews.review_for(self.caller(request), review_id)
        lines = ReviewLineSerializer(access_reviews.lines_of(review), many=True).data
        return Response(ReviewSerializer(review).data | {"lines": lines})


class SupportSessionsView(ApiView):
    """`/api/support-sessions`."""

    @extend_schema(
        operation_id="support_sessions_list",
        summary="List support sessions of the operator",
        tags=["People"],
        parameters=[PageQuery],
        responses={200: SupportSessionPageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List when somebody of the operator looked in, and why. Needs `members:read`."""
        return _page(request, support_sessions.sessions_for(self.caller(request)), SupportSessionSerializer)


class SupportSessionView(ApiView):
    """`/api/support-sessions/{support_id}`."""

    @extend_schema(
        operation_id="support_sessions_end",
        summary="End a support session",
        tags=["People"],
        responses={204: None, **errors_of(401, 403, 404)},
    )
    def delete(self, request: Request, support_id: int) -> Response:
        """End it at once. Needs `members:manage`."""
        support_sessions.end_session(by=self.caller(request), session_id=support_id)
        return Response(status=204)


def _page(
    request: Request, found: Sequence[Any] | QuerySet[Any], serializer: type[serializers.Serializer[Any]]
) -> Response:
    """A page of a list; its cursor counts rows."""
    given = parameters(PageQuery, request)
    start, size = given.get("cursor", 0), given["limit"]
    start = min(start, 10**9)
    rows = list(found[start : start + size + 1])
    results = serializer(rows[:size], many=True).data
    cursor = start + size if len(rows) > size else None
    return Response({"results": results, "next": next_address(request, cursor)})


def _asked(kind: type[StrictSerializer], request: Request) -> dict[str, Any]:
    asked = kind(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def named_projects(caller: Caller, ids: list[int] | None) -> list[Project] | None:
    """Raises `NotFound` for a project that the key may not know of."""
    return None if ids is None else [access.project_for(caller, project_id) for project_id in dict.fromkeys(ids)]
