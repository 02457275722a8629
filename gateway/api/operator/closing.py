"""Closing months by scripts of those who run the platform: where each organisation stands, preview, approve, issue."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.closing.blocks import facts_shown, told_of
from billing.closing.issuing import Done, approve_all, issue_all, take_back_approval
from billing.closing.listed import closing_page, rows_of
from billing.closing.period import month_named
from billing.closing.previews import ask_previews, billed_tenants
from billing.invoices.legal_parties import party_of
from billing.invoices.words import description_of, explanation_of
from billing.models import DraftLine, InvoiceLine
from billing.models.closings import LineColumns
from gateway.api.legal_identity import LegalIdentitySerializer, put_shown, shown_party
from gateway.api.operator.view import OperatorApiView, tenant_of
from gateway.api.problems import errors_of
from gateway.api.queries import MonthField, Query, StrictSerializer, TextField, parameters
from identity.errors import NotFound
from identity.models import Tenant
from identity.operators import setting_up

Post = TypeVar("Post", bound=Callable[..., Response])
LINES_MAX = 1_000
_PAGES_MAX = 10_000


class ClosingsQuery(Query):
    """Which month, and which page of it."""

    month = MonthField(help_text="As `2026-10`.")
    page = serializers.IntegerField(required=False, default=1, min_value=1, max_value=_PAGES_MAX)


class BlockSerializer(serializers.Serializer[Any]):
    """Something that is in the way."""

    code = serializers.CharField(source="code.value")
    text = serializers.CharField()


class ClosingSerializer(serializers.Serializer[Any]):
    """An organisation's month. Money is whole nano-EUR before VAT."""

    tenant = serializers.CharField(source="tenant.slug")
    external_id = serializers.CharField(source="tenant.external_id", allow_null=True)
    state = serializers.CharField(
        help_text=(
            "`open`, `previewed`, `approved`; then that of the invoice, `closed`, or `carried_over`: it came to less "
            "than zero and goes on to the next month."
        )
    )
    amount_nano_eur = serializers.IntegerField()
    before_nano_eur = serializers.IntegerField(help_text="Of the month before.")
    is_estimate = serializers.BooleanField(help_text="There is no preview: the amount is of sums of days.")
    is_being_made = serializers.BooleanField(help_text="A preview is under way.")
    blocks = BlockSerializer(many=True, help_text="What is in the way of issuing it.")
    invoice = serializers.UUIDField(source="invoice.public_id", default=None, allow_null=True)


class ClosingsSerializer(serializers.Serializer[Any]):
    """A hundred organisations of a month, by name."""

    results = ClosingSerializer(source="rows", many=True)
    next = serializers.IntegerField(allow_null=True, help_text="The number of the next page; null: there is none.")


class ClosingLineSerializer(serializers.Serializer[Any]):
    """A line, as it would be or is."""

    position = serializers.IntegerField()
    kind = serializers.CharField()
    covers_month = serializers.DateField(help_text="Earlier than the closing's for late usage.")
    description = serializers.SerializerMethodField()
    explanation = serializers.SerializerMethodField()
    project_id = serializers.IntegerField(allow_null=True)
    project = serializers.CharField()
    cost_centre = serializers.CharField()
    purchase_order = serializers.CharField()
    model = serializers.CharField()
    mode = serializers.CharField()
    meter = serializers.CharField()
    quantity = serializers.IntegerField()
    price_nano_eur = serializers.IntegerField(allow_null=True, help_text="Of a million units.")
    exact_nano_eur = serializers.IntegerField()
    net_cents = serializers.IntegerField(help_text="The exact amount, rounded half-even.")

    def get_description(self, line: LineColumns) -> str:
        """What it is."""
        return description_of(line)

    def get_explanation(self, line: LineColumns) -> str:
        """How it came about."""
        return explanation_of(line)


class ClosingWithLinesSerializer(ClosingSerializer):
    """The same with its lines."""

    lines = ClosingLineSerializer(many=True, help_text=f"The first {LINES_MAX}.")


class WhichClosingsSerializer(StrictSerializer):
    """Of which month, and of one organisation only where it is named."""

    month = MonthField()
    external_id = TextField(required=False, allow_blank=True, max_length=128, help_text="Left out: all of them.")


class DoneSerializer(serializers.Serializer[Any]):
    """What became of it."""

    done = serializers.IntegerField()
    blocked = serializers.IntegerField(help_text="In the way of which something is.")
    left = serializers.IntegerField(help_text="Not done within a call's time: ask again.")


def _described(act: str, summary: str) -> Callable[[Post], Post]:
    decorate: Callable[[Post], Post] = extend_schema(
        operation_id=f"operator_closings_{act}",
        summary=summary,
        tags=["Operator"],
        request=WhichClosingsSerializer,
        responses={200: DoneSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    return decorate


class OperatedClosingsView(OperatorApiView):
    """`/api/operator/closings`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_closings_list",
        summary="List where each organisation stands in a month",
        tags=["Operator"],
        parameters=[ClosingsQuery],
        responses={200: ClosingsSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List states, amounts and what is in the way. Needs `billing:read`."""
        given = parameters(ClosingsQuery, request)
        return Response(ClosingsSerializer(closing_page(given["month"], today=_today(), page=given["page"])).data)


class OperatedPreviewsView(OperatorApiView):
    """`/api/operator/closings/preview`."""

    noun = "billing"

    @_described("preview", "Have lines of a month made")
    def post(self, request: Request) -> Response:
        """Have the lines made in the background, those that were made before anew. Needs `billing:write`."""
        month, tenants = _which(request)
        asked = ask_previews(by=self.operator(request), month=month, tenants=tenants)
        return Response(DoneSerializer(Done(asked, 0, 0)).data)


class OperatedApprovalsView(OperatorApiView):
    """`/api/operator/closings/approve`."""

    noun = "billing"

    @_described("approve", "Approve previews of a month")
    def post(self, request: Request) -> Response:
        """Approve what nothing is in the way of. Where two people have to approve, a key cannot. Needs
        `billing:write`.
        """
        month, tenants = _which(request)
        return Response(DoneSerializer(approve_all(by=self.operator(request), month=month, tenants=tenants)).data)


class OperatedIssuesView(OperatorApiView):
    """`/api/operator/closings/issue`."""

    noun = "billing"

    @_described("issue", "Issue what is approved of a month")
    def post(self, request: Request) -> Response:
        """Issue invoices, or statements, once and for ever; what was issued before is left alone. Needs
        `billing:write`.
        """
        month, tenants = _which(request)
        return Response(DoneSerializer(issue_all(by=self.operator(request), month=month, tenants=tenants)).data)


class OperatedClosingView(OperatorApiView):
    """`/api/operator/tenants/{external_id}/closings/{month}`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_tenants_closing_read",
        summary="Read an organisation's month with its lines",
        tags=["Operator"],
        responses={200: ClosingWithLinesSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, external_id: str, month: str) -> Response:
        """Read state, amount and lines: of the invoice, or as a preview made them. Needs `billing:read`."""
        first = _month(month)
        tenant = told_of(billed_tenants().filter(pk=tenant_of(external_id).pk)).get()
        [row] = rows_of([tenant], first, facts_shown([tenant]), today=_today())
        if row.invoice is not None:
            lines: Any = InvoiceLine.objects.filter(invoice=row.invoice)
        else:
            lines = DraftLine.objects.filter(closing=row.closing)
        shown = ClosingSerializer(row).data
        found = lines.order_by("position")[:LINES_MAX]
        return Response({**shown, "lines": ClosingLineSerializer(found, many=True).data})

    @extend_schema(
        operation_id="operator_tenants_closing_unapprove",
        summary="Take an approval back",
        tags=["Operator"],
        request=None,
        responses={204: None, **errors_of(401, 403, 404, 409)},
    )
    def delete(self, request: Request, external_id: str, month: str) -> Response:
        """Let nobody have approved it; 409 where it is issued. Needs `billing:write`."""
        tenant = tenant_of(external_id)
        take_back_approval(by=self.operator(request), tenant=tenant, month=_month(month))
        return Response(status=204)


class OperatedLegalIdentityView(OperatorApiView):
    """`/api/operator/tenants/{external_id}/legal-identity`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_tenants_legal_identity_read",
        summary="Read who an organisation is in law",
        tags=["Operator"],
        responses={200: LegalIdentitySerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, external_id: str) -> Response:
        """Read whom its invoices are made out to. Needs `billing:read`."""
        return Response(shown_party(party_of(tenant_of(external_id))))

    @extend_schema(
        operation_id="operator_tenants_legal_identity_put",
        summary="Say who an organisation is in law",
        tags=["Operator"],
        request=LegalIdentitySerializer,
        responses={200: LegalIdentitySerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def put(self, request: Request, external_id: str) -> Response:
        """Say all of it anew. Needs `billing:write`."""
        return put_shown(setting_up(tenant_of(external_id), self.operator(request)), request)


def _which(request: Request) -> tuple[date, list[Tenant]]:
    asked = WhichClosingsSerializer(data=request.data)
    asked.is_valid(raise_exception=True)
    given = asked.validated_data
    external_id = given.get("external_id", "")
    found = billed_tenants()
    if external_id:
        found = found.filter(pk=tenant_of(external_id).pk)
    return given["month"], list(found)


def _month(text: str) -> date:
    found = month_named(text)
    if found is None:
        raise NotFound("month")
    return found


def _today() -> date:
    return datetime.now(UTC).date()
