"""Exports: files of what was used and charged, made in the background."""

from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.exports.exports import (
    CONTENTS,
    MODEL_LENGTH_MAX,
    SHOWN_MAX,
    Wanted,
    ask_export,
    cancel_export,
    download,
    export_for,
    exports_of,
)
from billing.exports.formats import WRITERS
from billing.exports.schedules import end_schedule, schedule_export, schedules_of
from billing.models import Export
from gateway.api.export_files import export_file
from gateway.api.problems import errors_of
from gateway.api.queries import StrictSerializer, TextField
from gateway.api.view import ApiView

_KIND = "What its rows are: `requests` one by one, `days` by project, key and model, `ledger` entries, or FOCUS 1.2."
FILES = {
    (200, writer.MEDIA_TYPE.partition(";")[0]): OpenApiResponse(OpenApiTypes.BINARY, "The file.")
    for writer in WRITERS.values()
}


class NewExportSerializer(StrictSerializer):
    """An export to be."""

    content = serializers.ChoiceField(choices=CONTENTS, help_text=_KIND)
    format = serializers.ChoiceField(choices=list(WRITERS))
    first_day = serializers.DateField(help_text="In the organisation's time zone.")
    last_day = serializers.DateField(help_text="It belongs to the export.")
    project = serializers.IntegerField(
        required=False, min_value=1, max_value=2**63 - 1, help_text="Only of this project."
    )
    key = TextField(required=False, max_length=16, help_text="Only of the API key with this id.")
    model = TextField(required=False, max_length=MODEL_LENGTH_MAX, help_text="Only of the model with this id.")


class ExportSerializer(serializers.Serializer[Any]):
    """An export, made or being made."""

    id = serializers.UUIDField(source="public_id")
    content = serializers.ChoiceField(choices=CONTENTS, help_text=_KIND)
    format = serializers.ChoiceField(choices=list(WRITERS))
    first_day = serializers.DateField()
    last_day = serializers.DateField()
    state = serializers.ChoiceField(choices=Export.State.values)
    fault = serializers.CharField(help_text="Why it could not be made; empty: nothing went wrong.")
    percent = serializers.IntegerField(help_text="How far it is.")
    rows = serializers.IntegerField()
    total_nano_eur = serializers.IntegerField(help_text="What its rows come to.")
    size_bytes = serializers.IntegerField()
    sha256 = serializers.CharField(help_text="Of the file; empty while it is made.")
    is_final = serializers.BooleanField(
        help_text="The period is over and nothing of it changes any more: the same export is the same bytes for ever."
    )
    cut_at = serializers.DateTimeField(help_text="What was settled until then is in it.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True, help_text="Until when it can be downloaded.")


class ExportListSerializer(serializers.Serializer[Any]):
    """The newest hundred exports, newest first."""

    results = ExportSerializer(many=True)


class NewScheduleSerializer(StrictSerializer):
    """What to make every month."""

    content = serializers.ChoiceField(choices=CONTENTS, help_text=_KIND)
    format = serializers.ChoiceField(choices=list(WRITERS))


class ScheduleSerializer(serializers.Serializer[Any]):
    """An export that is made of every month, once it is over."""

    id = serializers.IntegerField()
    content = serializers.ChoiceField(choices=CONTENTS)
    format = serializers.ChoiceField(choices=list(WRITERS))
    next_month = serializers.DateField(help_text="The first day of the next month that it is made of.")


class ScheduleListSerializer(serializers.Serializer[Any]):
    """All of them."""

    results = ScheduleSerializer(many=True)


class ExportsView(ApiView):
    """`/api/exports`."""

    @extend_schema(
        operation_id="exports_list",
        summary="List exports",
        tags=["Exports"],
        responses={200: ExportListSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the organisation's exports, newest first. Needs `usage:read:tenant`."""
        found = exports_of(self.caller(request))[:SHOWN_MAX]
        return Response({"results": ExportSerializer(found, many=True).data})

    @extend_schema(
        operation_id="exports_create",
        summary="Have an export made",
        tags=["Exports"],
        request=NewExportSerializer,
        responses={201: ExportSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Have a file made in the background; ask for it until its `state` is `done`.

        Needs `usage:read:tenant`, for `ledger` and `focus` also `billing:read`.
        """
        asked = NewExportSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        wanted = Wanted(
            kind=Export.Kind(given["content"]),
            format=Export.Format(given["format"]),
            first_day=given["first_day"],
            last_day=given["last_day"],
            project_id=given.get("project"),
            key=given.get("key", ""),
            model=given.get("model", ""),
        )
        export = ask_export(by=self.caller(request), wanted=wanted)
        headers = {"Location": f"/api/exports/{export.public_id}"}
        return Response(ExportSerializer(export).data, status=201, headers=headers)


class ExportView(ApiView):
    """`/api/exports/{public_id}`."""

    @extend_schema(
        operation_id="exports_read",
        summary="Read one export",
        tags=["Exports"],
        responses={200: ExportSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, public_id: UUID) -> Response:
        """Read how far it is. Needs `usage:read:tenant`."""
        return Response(ExportSerializer(export_for(self.caller(request), public_id)).data)

    @extend_schema(
        operation_id="exports_delete",
        summary="Cancel or remove an export",
        tags=["Exports"],
        responses={204: None, **errors_of(401, 403, 404, 409)},
    )
    def delete(self, request: Request, public_id: UUID) -> Response:
        """Stop making it, or remove its file. Needs `usage:read:tenant`."""
        cancel_export(by=self.caller(request), public_id=public_id)
        return Response(status=204)


class ExportFileView(ApiView):
    """`/api/exports/{public_id}/file`."""

    @extend_schema(
        operation_id="exports_download",
        summary="Download an export",
        tags=["Exports"],
        responses={**FILES, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, public_id: UUID) -> HttpResponseBase:
        """Download the file until it expires; its `ETag` is its SHA-256. The download is recorded.

        A download that broke off goes on with `Range: bytes=N-`, which is answered with 206.
        """
        found = download(by=self.caller(request), public_id=public_id)
        return export_file(request._request, *found)  # noqa: SLF001


class ExportSchedulesView(ApiView):
    """`/api/export-schedules`."""

    @extend_schema(
        operation_id="export_schedules_list",
        summary="List monthly exports",
        tags=["Exports"],
        responses={200: ScheduleListSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List what is made of every month. Needs `usage:read:tenant`."""
        return Response({"results": ScheduleSerializer(schedules_of(self.caller(request)), many=True).data})

    @extend_schema(
        operation_id="export_schedules_create",
        summary="Have an export made every month",
        tags=["Exports"],
        request=NewScheduleSerializer,
        responses={201: ScheduleSerializer, **errors_of(400, 401, 403, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Have an export made of every month, once it is over; a notice and the webhooks tell of it.

        Needs `usage:read:tenant`, for `ledger` and `focus` also `billing:read`.
        """
        asked = NewScheduleSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        kind, file_format = Export.Kind(asked.validated_data["content"]), Export.Format(asked.validated_data["format"])
        schedule = schedule_export(by=self.caller(request), kind=kind, file_format=file_format)
        return Response(ScheduleSerializer(schedule).data, status=201)


class ExportScheduleView(ApiView):
    """`/api/export-schedules/{schedule_id}`."""

    @extend_schema(
        operation_id="export_schedules_delete",
        summary="End a monthly export",
        tags=["Exports"],
        responses={204: None, **errors_of(401, 403, 404)},
    )
    def delete(self, request: Request, schedule_id: int) -> Response:
        """Make it no more; the files that there are stay. Needs `usage:read:tenant`."""
        end_schedule(by=self.caller(request), schedule_id=schedule_id)
        return Response(status=204)
