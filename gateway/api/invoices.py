"""Invoices, credit notes and statements: what was issued, what is still to be paid, and the files."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.invoices.document.contents import from_json
from billing.invoices.files import issued_to, with_files
from billing.invoices.issued import InvoiceState, invoices_of, open_cents, state_of
from billing.models import Invoice
from gateway.api.invoice_answers import answer_with
from gateway.api.problems import errors_of
from gateway.api.queries import Query, parameters
from gateway.api.view import ApiView
from identity.access import Caller

_Get = TypeVar("_Get", bound=Callable[..., HttpResponseBase])

LISTED_MAX = 1_000  # eighty years of months


class InvoicesQuery(Query):
    """Which of them."""

    year = serializers.IntegerField(required=False, min_value=2000, max_value=9999, help_text="Of issue.")


class InvoiceSerializer(serializers.Serializer[Any]):
    """What was issued. Amounts are whole cents."""

    id = serializers.UUIDField(source="public_id")
    document = serializers.ChoiceField(choices=Invoice.Kind.values, source="kind")
    number = serializers.CharField()
    month = serializers.DateField(help_text="The first day of the month that was closed.")
    issued_on = serializers.DateField()
    due_on = serializers.DateField(allow_null=True)
    payment = serializers.SerializerMethodField(help_text="Of an invoice; `issued` for what nobody pays.")
    net_cents = serializers.IntegerField(help_text="Before VAT.")
    tax_cents = serializers.IntegerField()
    gross_cents = serializers.IntegerField()
    prepaid_cents = serializers.IntegerField(help_text="Paid before it was issued.")
    due_cents = serializers.IntegerField()
    open_cents = serializers.SerializerMethodField(help_text="What is still to be paid.")
    exact_nano_eur = serializers.IntegerField(help_text="The exact sum of its lines, before VAT.")
    has_pdf = serializers.BooleanField(help_text="False: it is being made.")
    has_xml = serializers.BooleanField(help_text="Always false for a statement.")
    sha256 = serializers.CharField(help_text="Of what it says, as it was issued.")

    @extend_schema_field({"type": "string", "enum": [state.value for state in InvoiceState]})
    def get_payment(self, invoice: Invoice) -> str:
        """Today, in the organisation's time zone."""
        zone = ZoneInfo(self.context["tenant"].time_zone)
        return state_of(invoice, timezone.localdate(timezone=zone)).value

    @extend_schema_field({"type": "integer"})
    def get_open_cents(self, invoice: Invoice) -> int:
        """0 for what nobody pays."""
        return max(open_cents(invoice), 0)


class InvoiceLineSerializer(serializers.Serializer[Any]):
    """A line."""

    position = serializers.IntegerField()
    project = serializers.CharField(help_text="Empty: of the organisation as a whole.")
    cost_centre = serializers.CharField()
    purchase_order = serializers.CharField()
    description = serializers.CharField()
    explanation = serializers.CharField()
    quantity = serializers.CharField(help_text="A decimal number.")
    unit = serializers.CharField()
    unit_price = serializers.CharField(help_text="Euros a unit, a decimal number.")
    exact_nano_eur = serializers.IntegerField(help_text="As the ledger has it.")
    net_cents = serializers.IntegerField(help_text="The same, rounded half-even.")
    vat_category = serializers.CharField(help_text="UNTDID 5305; empty in a statement.")
    vat_rate_percent = serializers.CharField()


class OneInvoiceSerializer(InvoiceSerializer):
    """What was issued, with its lines."""

    lines = serializers.SerializerMethodField()

    @extend_schema_field(InvoiceLineSerializer(many=True))
    def get_lines(self, invoice: Invoice) -> Any:
        """As they were issued."""
        return InvoiceLineSerializer(from_json(invoice.contents).lines, many=True).data


class InvoiceListSerializer(serializers.Serializer[Any]):
    """The newest first."""

    results = InvoiceSerializer(many=True)


class InvoicesView(ApiView):
    """`/api/invoices`."""

    @extend_schema(
        operation_id="invoices_list",
        summary="List invoices and statements",
        tags=["Billing"],
        parameters=[InvoicesQuery],
        responses={200: InvoiceListSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List what was issued to the organisation, newest first. Needs `billing:read`."""
        caller, given = self.caller(request), parameters(InvoicesQuery, request)
        found = with_files(invoices_of(caller).defer("contents"))
        if given.get("year"):
            found = found.filter(issued_on__year=given["year"])
        shown = InvoiceSerializer(found[:LISTED_MAX], many=True, context=_of(caller))
        return Response({"results": shown.data})


class InvoiceView(ApiView):
    """`/api/invoices/{public_id}`."""

    @extend_schema(
        operation_id="invoices_read",
        summary="Read one invoice or statement",
        tags=["Billing"],
        responses={200: OneInvoiceSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, public_id: UUID) -> Response:
        """Read it with its lines. Needs `billing:read`."""
        caller = self.caller(request)
        return Response(OneInvoiceSerializer(issued_to(caller, public_id), context=_of(caller)).data)


def _file(ending: str, media_type: str, what: str, words: str) -> Callable[[_Get], _Get]:
    described: Callable[[_Get], _Get] = extend_schema(
        operation_id=f"invoices_{ending}",
        summary=f"Download {what}",
        description=f"{words} Needs `billing:read`.",
        tags=["Billing"],
        responses={(200, media_type): OpenApiResponse(OpenApiTypes.BINARY, "The file."), **errors_of(401, 403, 404)},
    )
    return described


class InvoicePdfView(ApiView):
    """`/api/invoices/{public_id}/pdf`."""

    @_file("pdf", "application/pdf", "an invoice as PDF", "PDF/A-3 with the XML inside. `ETag` is its SHA-256.")
    def get(self, request: Request, public_id: UUID) -> HttpResponseBase:
        """As it was made, once."""
        return _answer(self.caller(request), public_id, "pdf")


class InvoiceXmlView(ApiView):
    """`/api/invoices/{public_id}/xml`."""

    @_file("xml", "application/xml", "an invoice as XML", "Factur-X, EN 16931. A statement has none.")
    def get(self, request: Request, public_id: UUID) -> HttpResponseBase:
        """As it was made, once."""
        return _answer(self.caller(request), public_id, "xml")


class InvoiceCsvView(ApiView):
    """`/api/invoices/{public_id}/csv`."""

    @_file("csv", "text/csv", "the lines of an invoice as CSV", "A line each, exact.")
    def get(self, request: Request, public_id: UUID) -> HttpResponseBase:
        """Of what was issued."""
        return _answer(self.caller(request), public_id, "csv")


def _answer(caller: Caller, public_id: UUID, ending: str) -> HttpResponseBase:
    return answer_with(issued_to(caller, public_id), ending, to=caller.actor)


def _of(caller: Caller) -> dict[str, object]:
    return {"tenant": caller.tenant}
