"""What was used: requests one by one, their sums, and those that were refused."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import Refusal, UsageRecord
from billing.pricing import Prices
from billing.usage.energy import kwh_of
from billing.usage.labels import usage_by_label
from billing.usage.records import (
    Interval,
    UsageSum,
    meter_lines,
    records_page,
    refusal_sums,
    refusals_page,
    sums,
)
from gateway.api.names import KeyName, key_names, project_names
from gateway.api.problems import errors_of
from gateway.api.queries import (
    CursorField,
    LabelsQuery,
    RecordQuery,
    RefusalQuery,
    SpanQuery,
    SummaryQuery,
    next_address,
    parameters,
    reader_and_filters,
)
from gateway.api.usage_shapes import (
    LabelSumSerializer,
    LabelSumsSerializer,
    RecordPageSerializer,
    RecordSerializer,
    RefusalPageSerializer,
    RefusalSerializer,
    RefusalSumSerializer,
    RefusalSumsSerializer,
    SummarySerializer,
    UsageSumSerializer,
)
from gateway.api.view import ApiView
from identity.permissions import Permission


class RecordsView(ApiView):
    """`/api/usage/records`."""

    @extend_schema(
        operation_id="usage_records_list",
        summary="List requests with their exact cost",
        tags=["Usage"],
        parameters=[RecordQuery],
        responses={200: RecordPageSerializer, **errors_of(400, 401, 403, 404)},
    )
    def get(self, request: Request) -> Response:
        """List the requests of this key, newest first; with `usage:read:tenant` those of the organisation."""
        given, caller = parameters(RecordQuery, request), self.caller(request)
        reader, filters = reader_and_filters(caller, given)
        page = records_page(reader, filters, after=given.get("cursor"), size=given["limit"])
        keys = key_names(caller.tenant.pk, {record.key_id for record in page.records})
        projects = project_names(caller.tenant.pk, {record.project_id for record in page.records})
        shown = [
            _shown(record, page.prices[record.price_version_id], keys, projects)
            | {"refunded_nano_eur": page.refunds.get(record.request_id, 0)}
            for record in page.records
        ]
        results = RecordSerializer(shown, many=True).data
        return Response({"results": results, "next": next_address(request, page.next)})


class SummaryView(ApiView):
    """`/api/usage/summary`."""

    @extend_schema(
        operation_id="usage_summary_read",
        summary="Add up usage",
        tags=["Usage"],
        parameters=[SummaryQuery],
        responses={200: SummarySerializer, **errors_of(400, 401, 403, 404)},
    )
    def get(self, request: Request) -> Response:
        """Add up what this key used, or with `usage:read:tenant` the organisation, by model, key or project and time.

        The time is rounded to whole hours, `from` down and `to` up.
        """
        given, caller = parameters(SummaryQuery, request), self.caller(request)
        reader, filters = reader_and_filters(caller, given)
        zone = caller.tenant.time_zone
        found = sums(reader, filters, by=given["by"], interval=Interval(given["interval"]), time_zone=zone)
        keys = key_names(caller.tenant.pk, {row.key_id for row in found if row.key_id is not None})
        projects = project_names(caller.tenant.pk, {row.project_id for row in found if row.project_id is not None})
        shown = [_shown_sum(row, keys, projects) for row in found]
        return Response({"time_zone": zone, "results": UsageSumSerializer(shown, many=True).data})


class LabelsView(ApiView):
    """`/api/usage/labels`."""

    @extend_schema(
        operation_id="usage_labels_read",
        summary="Add up usage by label",
        tags=["Usage"],
        parameters=[LabelsQuery],
        responses={200: LabelSumsSerializer, **errors_of(400, 401, 403, 404)},
    )
    def get(self, request: Request) -> Response:
        """Add up the organisation's requests by what clients sent as `x-beffroi-label`; scope `usage:read:tenant`.

        The dearest labels first, the cheaper ones together; requests without a label are not among them. The time is
        rounded to whole hours, `from` down and `to` up.
        """
        given, caller = parameters(LabelsQuery, request), self.caller(request)
        caller.require(Permission.USAGE_READ_TENANT)
        found = usage_by_label(*reader_and_filters(caller, given))
        shown = [
            {
                "label": one.label,
                "requests": one.totals.requests,
                "failed_requests": one.totals.failed,
                "prompt_tokens": one.totals.input_tokens,
                "completion_tokens": one.totals.output_tokens,
                "cost_nano_eur": one.totals.cost_nano_eur,
            }
            for one in found
        ]
        return Response({"results": LabelSumSerializer(shown, many=True).data})


class RefusalsView(ApiView):
    """`/api/usage/refusals`."""

    @extend_schema(
        operation_id="usage_refusals_list",
        summary="List refused requests",
        tags=["Usage"],
        parameters=[RefusalQuery],
        responses={200: RefusalPageSerializer, **errors_of(400, 401, 403, 404)},
    )
    def get(self, request: Request) -> Response:
        """List the refused requests of this key, newest first; with `usage:read:tenant` those of the organisation."""
        given, caller = parameters(RefusalQuery, request), self.caller(request)
        reader, filters = reader_and_filters(caller, given)
        code, after = given.get("code", ""), given.get("cursor")
        page = refusals_page(reader, filters, code=code, after=after, size=given["limit"])
        keys = key_names(caller.tenant.pk, {refusal.key_id for refusal in page.refusals})
        shown = [_shown_refusal(refusal, keys) for refusal in page.refusals]
        cursor = CursorField().to_representation(page.next) if page.next else None
        results = RefusalSerializer(shown, many=True).data
        return Response({"results": results, "next": next_address(request, cursor)})


class RefusalCountsView(ApiView):
    """`/api/usage/refusals/counts`."""

    @extend_schema(
        operation_id="usage_refusals_count",
        summary="Count refused requests",
        tags=["Usage"],
        parameters=[SpanQuery],
        responses={200: RefusalSumsSerializer, **errors_of(400, 401, 403, 404)},
    )
    def get(self, request: Request) -> Response:
        """Count refused requests by key and code: also those that are no longer listed one by one."""
        given, caller = parameters(SpanQuery, request), self.caller(request)
        found = refusal_sums(*reader_and_filters(caller, given))
        keys = key_names(caller.tenant.pk, {row.key_id for row in found})
        shown = [row._asdict() | _named_key(row.key_id, keys) for row in found]
        return Response({"results": RefusalSumSerializer(shown, many=True).data})


def _named_key(key_id: int, keys: Mapping[int, KeyName]) -> dict[str, str]:
    return {"key_id": keys[key_id].lookup, "key_name": keys[key_id].name}


def _tokens(input_: int, cached: int, output: int, reasoning: int) -> dict[str, int]:
    """As clients count: the cached part is in the prompt, the reasoning part in the completion."""
    return {
        "prompt_tokens": input_ + cached,
        "cached_tokens": cached,
        "completion_tokens": output + reasoning,
        "reasoning_tokens": reasoning,
    }


def _shown(
    record: UsageRecord, prices: Prices, keys: Mapping[int, KeyName], projects: Mapping[int, str]
) -> dict[str, Any]:
    own = {name: value for name, value in vars(record).items() if not name.startswith("_")}
    tokens = _tokens(record.input_quantity, record.cached_quantity, record.output_quantity, record.reasoning_quantity)
    others = {
        "audio_ms": record.audio_ms_quantity,
        "documents": record.documents_quantity,
        "images": record.images_quantity,
        "meters": meter_lines(record, prices),
        "project_name": projects[record.project_id],
    }
    return own | tokens | others | _named_key(record.key_id, keys)


def _shown_sum(row: UsageSum, keys: Mapping[int, KeyName], projects: Mapping[int, str]) -> dict[str, Any]:
    used = row.quantities
    key = keys.get(row.key_id) if row.key_id is not None else None
    return {
        "starts_at": row.starts_at.isoformat() if row.starts_at else None,  # with the time zone's own offset
        "model": row.model,
        "key_id": key.lookup if key else None,
        "key_name": key.name if key else None,
        "project_id": row.project_id,
        "project_name": projects[row.project_id] if row.project_id is not None else None,
        "requests": row.requests,
        "failed_requests": row.failed_requests,
        **_tokens(used["input"], used["cached"], used["output"], used["reasoning"]),
        "audio_ms": used["audio_ms"],
        "documents": used["documents"],
        "images": used["images"],
        "cost_nano_eur": row.cost_nano_eur,
        "uncharged_nano_eur": row.uncharged_nano_eur,
        "kwh": _kwh(row),
    }


def _kwh(row: UsageSum) -> float | None:
    if row.kwh_per_million_tokens is None:
        return None
    tokens = sum(row.quantities[meter] for meter in ("input", "cached", "output", "reasoning"))
    return float(kwh_of(tokens, row.kwh_per_million_tokens))


def _shown_refusal(refusal: Refusal, keys: Mapping[int, KeyName]) -> dict[str, Any]:
    own = {name: getattr(refusal, name) for name in ("request_id", "at", "code", "limit", "model", "project_id")}
    return own | _named_key(refusal.key_id, keys)
