"""Exports of all organisations, for the scripts of those who bill them."""

from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.exports.exports import CONTENTS, SHOWN_MAX
from billing.exports.formats import WRITERS
from billing.exports.of_all import (
    ask_export_of_all,
    cancel_export_of_all,
    download_of_all,
    end_schedule_of_all,
    export_of_all,
    exports_of_all,
    schedule_export_of_all,
    schedules_of_all,
)
from billing.models import Export
from gateway.api.export_files import export_file
from gateway.api.exports import (
    FILES,
    ExportListSerializer,
    ExportSerializer,
    NewScheduleSerializer,
    ScheduleListSerializer,
    ScheduleSerializer,
)
from gateway.api.operator.view import OperatorApiView
from gateway.api.problems import errors_of
from gateway.api.queries import StrictSerializer


class NewExportOfAllSerializer(StrictSerializer):
    """An export of all organisations to be."""

    content = serializers.ChoiceField(
        choices=CONTENTS,
        help_text="What its rows are: `days` by organisation, project, key and model, `ledger` entries, or FOCUS 1.2. "
        "Single `requests` are each organisation's own to export: they are refused.",
    )
    format = serializers.ChoiceField(choices=list(WRITERS))
    first_day = serializers.DateField(help_text="In the time zone of each organisation.")
    last_day = serializers.DateField(help_text="It belongs to the export.")


class OperatedExportsView(OperatorApiView):
    """`/api/operator/exports`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_exports_list",
        summary="List exports of all organisations",
        tags=["Operator"],
        responses={200: ExportListSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List them, newest first. Needs `billing:read`."""
        found = exports_of_all(self.operator(request))[:SHOWN_MAX]
        return Response({"results": ExportSerializer(found, many=True).data})

    @extend_schema(
        operation_id="operator_exports_create",
        summary="Have an export of all organisations made",
        tags=["Operator"],
        request=NewExportOfAllSerializer,
        responses={201: ExportSerializer, **errors_of(400, 401, 403, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Have a file made in the background; ask for it until its `state` is `done`. Rows say whose they are: `tenant`
        and `tenant_name`, in FOCUS `BillingAccountId` and `BillingAccountName`. Needs `billing:write`.
        """
        asked = NewExportOfAllSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        export = ask_export_of_all(
            by=self.operator(request),
            content=Export.Kind(given["content"]),
            file_format=Export.Format(given["format"]),
            first_day=given["first_day"],
            last_day=given["last_day"],
        )
        headers = {"Location": f"/api/operator/exports/{export.public_id}"}
        return Response(ExportSerializer(export).data, status=201, headers=headers)


class OperatedExportView(OperatorApiView):
    """`/api/operator/exports/{public_id}`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_exports_read",
        summary="Read one export of all organisations",
        tags=["Operator"],
        responses={200: ExportSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, public_id: UUID) -> Response:
        """Read how far it is. Needs `billing:read`."""
        return Response(ExportSerializer(export_of_all(self.operator(request), public_id)).data)

    @extend_schema(
        operation_id="operator_exports_delete",
        summary="Cancel or remove an export of all organisations",
        tags=["Operator"],
        responses={204: None, **errors_of(401, 403, 404, 409)},
    )
    def delete(self, request: Request, public_id: UUID) -> Response:
        """Stop making it, or remove its file. Needs `billing:write`."""
        cancel_export_of_all(by=self.operator(request), public_id=public_id)
        return Response(status=204)


class OperatedExportFileView(OperatorApiView):
    """`/api/operator/exports/{public_id}/file`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_exports_download",
        summary="Download an export of all organisations",
        tags=["Operator"],
        responses={**FILES, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, public_id: UUID) -> HttpResponseBase:
        """Download the file until it expires, as one of an organisation: `ETag`, `Range`. The download is recorded in
        the platform's audit. Needs `billing:read`.
        """
        found = download_of_all(by=self.operator(request), public_id=public_id)
        return export_file(request._request, *found)  # noqa: SLF001


class OperatedExportSchedulesView(OperatorApiView):
    """`/api/operator/export-schedules`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_export_schedules_list",
        summary="List monthly exports of all organisations",
        tags=["Operator"],
        responses={200: ScheduleListSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List what is made of every month. Needs `billing:read`."""
        return Response({"results": ScheduleSerializer(schedules_of_all(self.operator(request)), many=True).data})

    @extend_schema(
        operation_id="operator_export_schedules_create",
        summary="Have an export of all organisations made every month",
        tags=["Operator"],
        request=NewScheduleSerializer,
        responses={201: ScheduleSerializer, **errors_of(400, 401, 403, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Have an export made of every month, once it is over in every time zone. Who bills them gets a notice, it is
        in the list of exports. Single `requests` are refused. Needs `billing:write`.
        """
        asked = NewScheduleSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        content, file_format = asked.validated_data["content"], asked.validated_data["format"]
        schedule = schedule_export_of_all(
            by=self.operator(request), content=Export.Kind(content), file_format=Export.Format(file_format)
        )
        return Response(ScheduleSerializer(schedule).data, status=201)


class OperatedExportScheduleView(OperatorApiView):
    """`/api/operator/export-schedules/{schedule_id}`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_export_schedules_delete",
        summary="End a monthly export of all organisations",
        tags=["Operator"],
        responses={204: None, **errors_of(401, 403, 404)},
    )
    def delete(self, request: Request, schedule_id: int) -> Response:
        """Make it no more; the files that there are stay. Needs `billing:write`."""
        end_schedule_of_all(by=self.operator(request), schedule_id=schedule_id)
        return Response(status=204)
