"""The audit: who did what, whether the chain holds, and the chain as a file."""

from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.audit_files import FORMATS, export
from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, Query, TimeField, next_address, parameters
from gateway.api.view import ApiView
from identity.audit import line_of, told
from identity.audit_context import Door
from identity.audit_signing import line_of_checkpoint, public_keys
from identity.audit_trail import (
    VERIFIED_AT_ONCE,
    Filters,
    checkpoints_of,
    events_page,
    links_of,
    verification_of,
    verify_and_keep,
)
from identity.models import AuditVerification
from identity.permissions import Permission
from identity.tasks import verify_audit_chain


class FilterQuery(Query):
    """Which events. `from` is a word of Python's, so that field is made in `get_fields`."""

    actor = serializers.CharField(
        required=False, max_length=64, help_text="Who: a person's pseudonym, a key's id, or a part of the product."
    )
    action = serializers.CharField(
        required=False, max_length=64, help_text="What: `api_key.revoked`, or `api_key` for all about keys."
    )
    target_kind = serializers.CharField(required=False, max_length=32, help_text="`apikey`, `project`, `person`, ...")
    target = serializers.CharField(required=False, max_length=64, help_text="The id of what it was done to.")
    door = serializers.ChoiceField(required=False, choices=[door.value for door in Door], help_text="How it came in.")

    def get_fields(self) -> dict[str, Any]:
        """`from` and `to`: the time of the event."""
        since = TimeField(required=False, help_text="At this time or later (ISO 8601; UTC without an offset).")
        until = TimeField(required=False, help_text="Before this time.")
        return {"from": since, "to": until, **super().get_fields()}


class EventQuery(PageQuery, FilterQuery):
    """A page of events."""


class ExportQuery(FilterQuery):
    """What to take away."""

    format = serializers.ChoiceField(
        required=False,
        default="jsonl",
        choices=list(FORMATS),
        help_text="`jsonl` has every link from `from` on, whatever else is filtered, and can be verified offline.",
    )


class EventSerializer(serializers.Serializer[Any]):
    """An event: a link of the chain, as it is hashed, and the names that are kept beside it."""

    sequence = serializers.IntegerField(help_text="Counts from 1 without gaps.")
    at = serializers.CharField(help_text="UTC, to the microsecond.")
    door = serializers.CharField(required=False, help_text="`page`, `api`, `command`, `scim`, `sign-in`, `worker`.")
    actor_kind = serializers.CharField(help_text="`person`, `operator`, `key` or `system`.")
    actor = serializers.CharField(help_text="A pseudonym, a key's id, or a part of the product.")
    action = serializers.CharField()
    target_kind = serializers.CharField()
    target = serializers.CharField()
    detail = serializers.DictField(help_text="With the names, unless they were erased.")
    known_as = serializers.DictField(help_text="Names and addresses of the actor and the target, unless erased.")
    hash = serializers.CharField()
    previous_hash = serializers.CharField()


class EventPageSerializer(serializers.Serializer[Any]):
    """Events, the newest first."""

    results = EventSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class CheckpointSerializer(serializers.Serializer[Any]):
    """What the chain's hash was, signed: keep it elsewhere, and a chain that was rewritten will not fit it."""

    type = serializers.CharField()
    tenant = serializers.IntegerField()
    sequence = serializers.IntegerField()
    hash = serializers.CharField()
    at = serializers.CharField()
    public_key = serializers.CharField(help_text="Ed25519, in hex.")
    signature = serializers.CharField()


class CheckpointPageSerializer(serializers.Serializer[Any]):
    """Checkpoints, the newest first."""

    public_keys = serializers.ListField(child=serializers.CharField(), help_text="Of this installation.")
    results = CheckpointSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class VerificationSerializer(serializers.Serializer[Any]):
    """What the last verification found."""

    state = serializers.ChoiceField(choices=["never", "holds", "broken", "under_way"])
    at = serializers.DateTimeField(allow_null=True)
    links = serializers.IntegerField()
    broken_sequence = serializers.IntegerField(allow_null=True, help_text="The first link that does not hold.")
    reason = serializers.CharField(allow_blank=True)


class AuditView(ApiView):
    """`/api/audit`."""

    @extend_schema(
        operation_id="audit_list",
        summary="List what was done",
        tags=["Audit"],
        parameters=[EventQuery],
        responses={200: EventPageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List sign-ins, refusals and changes of the organisation, newest first. Needs `audit:read`."""
        given = parameters(EventQuery, request)
        page = events_page(self.caller(request), _filters(given), before=given.get("cursor"), size=given["limit"])
        shown = [line_of(event) | {"detail": told(event), "known_as": _names(event)} for event in page.events]
        results = EventSerializer(shown, many=True).data
        return Response({"results": results, "next": next_address(request, page.next)})


class AuditExportView(ApiView):
    """`/api/audit/export`."""

    @extend_schema(
        operation_id="audit_export",
        summary="Take the audit away",
        tags=["Audit"],
        parameters=[ExportQuery],
        responses={
            (200, "application/jsonl"): OpenApiResponse(OpenApiTypes.STR, "One JSON object a line."),
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, "One event a line."),
            **errors_of(400, 401, 403),
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Download the chain, as JSONL to verify offline or as CSV. Needs `audit:read`. The export is recorded."""
        given = parameters(ExportQuery, request)
        return export(request._request, self.caller(request), given["format"], _filters(given))  # noqa: SLF001


class AuditCheckpointsView(ApiView):
    """`/api/audit/checkpoints`."""

    @extend_schema(
        operation_id="audit_checkpoints_list",
        summary="List the chain's signed checkpoints",
        tags=["Audit"],
        parameters=[PageQuery],
        responses={200: CheckpointPageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the signed checkpoints, newest first, to keep them elsewhere. Needs `audit:read`."""
        given = parameters(PageQuery, request)
        rows = checkpoints_of(self.caller(request), before=given.get("cursor"), size=given["limit"] + 1)
        page = rows[: given["limit"]]
        cursor = page[-1].sequence if len(rows) > len(page) else None
        results = [line_of_checkpoint(row) for row in page]
        return Response({"public_keys": public_keys(), "results": results, "next": next_address(request, cursor)})


class AuditVerificationView(ApiView):
    """`/api/audit/verification`."""

    @extend_schema(
        operation_id="audit_verification_read",
        summary="Read whether the chain holds",
        tags=["Audit"],
        responses={200: VerificationSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Read what the last verification found. Needs `audit:read`."""
        caller = self.caller(request)
        caller.require(Permission.AUDIT_READ)
        return Response(_found(verification_of(caller.tenant)))

    @extend_schema(
        operation_id="audit_verify",
        summary="Verify the chain",
        tags=["Audit"],
        request=None,
        responses={200: VerificationSerializer, 202: VerificationSerializer, **errors_of(401, 403)},
    )
    def post(self, request: Request) -> Response:
        """Verify the chain now; a long one in the background: 202, and GET tells later. Needs `audit:read`."""
        caller = self.caller(request)
        caller.require(Permission.AUDIT_READ)
        if links_of(caller.tenant) > VERIFIED_AT_ONCE:
            verify_audit_chain.delay(caller.tenant.pk)
            return Response(_found(verification_of(caller.tenant)) | {"state": "under_way"}, status=202)
        return Response(_found(verify_and_keep(caller.tenant)))


def _filters(given: dict[str, Any]) -> Filters:
    named = {name: given.get(name, "") for name in ("actor", "action", "target_kind", "target", "door")}
    return Filters(**named, since=given.get("from"), until=given.get("to"))


def _names(event: Any) -> dict[str, Any]:
    return {row.part: row.content for row in event.known_as.all() if row.part != "detail"}


def _found(row: AuditVerification | None) -> dict[str, Any]:
    if row is None:
        return {"state": "never", "at": None, "links": 0, "broken_sequence": None, "reason": ""}
    state = "holds" if row.broken_sequence is None else "broken"
    found = {"at": row.at, "links": row.links, "broken_sequence": row.broken_sequence, "reason": row.reason}
    return VerificationSerializer(found | {"state": state}).data
