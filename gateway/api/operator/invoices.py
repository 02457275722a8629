"""What was issued, for scripts of those who run the platform: read, credited, paid, and the journal for an ERP."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.invoices.credit_notes import REASON_LENGTH_MAX, credit_invoice
from billing.invoices.files import PDF, XML
from billing.invoices.issued import issued_invoice, open_cents, state_of, with_payments
from billing.invoices.journal import journal
from billing.invoices.payments import REFERENCE_LENGTH_MAX, record_payment
from billing.models import Invoice
from gateway.api.invoice_answers import file_of_any
from gateway.api.operator.view import OperatorApiView, page_of
from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, Query, StrictSerializer, TextField, parameters

_CENTS_MAX = 10**15
_LINES_MAX = 100_000


class OperatedInvoiceSerializer(serializers.Serializer[Any]):
    """An invoice, a credit note or a statement. Amounts are cents, but for the exact one."""

    id = serializers.UUIDField(source="public_id")
    number = serializers.CharField()
    kind = serializers.CharField(help_text="`invoice`, `credit_note` or `statement`.")
    tenant = serializers.CharField(source="tenant.slug")
    external_id = serializers.CharField(source="tenant.external_id", allow_null=True)
    month = serializers.DateField()
    issued_on = serializers.DateField()
    due_on = serializers.DateField(allow_null=True)
    exact_nano_eur = serializers.IntegerField()
    net_cents = serializers.IntegerField()
    tax_cents = serializers.IntegerField()
    gross_cents = serializers.IntegerField()
    prepaid_cents = serializers.IntegerField()
    due_cents = serializers.IntegerField()
    open_cents = serializers.SerializerMethodField(help_text="What is still to be paid.")
    state = serializers.SerializerMethodField(help_text="`issued`, `partly_paid`, `paid` or `overdue`.")
    sha256 = serializers.CharField(help_text="Of the contents.")
    corrects = serializers.UUIDField(source="corrects.public_id", default=None, allow_null=True)

    def get_open_cents(self, invoice: Invoice) -> int:
        """See above."""
        return open_cents(invoice)

    def get_state(self, invoice: Invoice) -> str:
        """Today's."""
        return state_of(invoice, datetime.now(UTC).date()).value


class OperatedInvoiceWithContentsSerializer(OperatedInvoiceSerializer):
    """The same with all that it says."""

    contents = serializers.SerializerMethodField(help_text="As it was issued, and as its hash was made of it.")

    @extend_schema_field({"type": "object", "additionalProperties": True})
    def get_contents(self, invoice: Invoice) -> Any:
        """Its JSON."""
        return json.loads(invoice.contents)


class OperatedInvoicesSerializer(serializers.Serializer[Any]):
    """A page, the oldest first."""

    results = OperatedInvoiceSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class CreditNoteSerializer(StrictSerializer):
    """What is taken back, and why."""

    reason = TextField(max_length=REASON_LENGTH_MAX)
    lines = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=_LINES_MAX),
        required=False,
        max_length=1_000,
        help_text="Positions; left out: the whole of it.",
    )


class RecordedPaymentSerializer(StrictSerializer):
    """A payment that came in; below zero one that is taken back."""

    amount_cents = serializers.IntegerField(min_value=-_CENTS_MAX, max_value=_CENTS_MAX)
    paid_on = serializers.DateField()
    reference = TextField(max_length=REFERENCE_LENGTH_MAX, help_text="The bank's: the same again is the same payment.")
    note = TextField(max_length=300, required=False, allow_blank=True)


class JournalQuery(Query):
    """Which days, both included."""

    first = serializers.DateField()
    last = serializers.DateField()


class JournalEntrySerializer(serializers.Serializer[Any]):
    """A line of the journal; one of debit and credit is zero."""

    date = serializers.DateField(source="day")
    journal = serializers.CharField()
    account = serializers.CharField()
    auxiliary = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    debit_cents = serializers.IntegerField()
    credit_cents = serializers.IntegerField()
    piece = serializers.CharField(help_text="The number of the document; of a deposit, the ledger's entry.")


class JournalSerializer(serializers.Serializer[Any]):
    """The entries, which balance to the cent."""

    results = JournalEntrySerializer(many=True)


class OperatedInvoicesView(OperatorApiView):
    """`/api/operator/invoices`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_invoices_list",
        summary="List what was issued",
        tags=["Operator"],
        parameters=[PageQuery],
        responses={200: OperatedInvoicesSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List invoices, credit notes and statements, in the order in which they were issued. Needs `billing:read`."""
        found = with_payments(Invoice.objects.select_related("tenant", "corrects")).defer("contents").order_by("pk")
        return page_of(request, found, lambda page: OperatedInvoiceSerializer(page, many=True).data)


class OperatedInvoiceView(OperatorApiView):
    """`/api/operator/invoices/{invoice_id}`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_invoices_read",
        summary="Read one as it was issued",
        tags=["Operator"],
        responses={200: OperatedInvoiceWithContentsSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, invoice_id: UUID) -> Response:
        """Read it with all that it says. Needs `billing:read`."""
        return Response(OperatedInvoiceWithContentsSerializer(issued_invoice(invoice_id)).data)


class OperatedInvoiceFileView(OperatorApiView):
    """`/api/operator/invoices/{invoice_id}/files/{ending}`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_invoices_file",
        summary="Download a file of one",
        tags=["Operator"],
        parameters=[OpenApiParameter("ending", location=OpenApiParameter.PATH, enum=["pdf", "xml", "csv"])],
        responses={
            **{
                (200, media_type): OpenApiResponse(OpenApiTypes.BINARY, "The file.")
                for media_type in (PDF, XML, "text/csv")
            },
            **errors_of(401, 403, 404),
        },
    )
    def get(self, request: Request, invoice_id: UUID, ending: str) -> HttpResponseBase:
        """Download its PDF, its XML (a statement has none) or its lines as CSV, as the organisation does, whose audit
        has a line of it. Needs `billing:read`.
        """
        return file_of_any(invoice_id, ending, to=self.operator(request).actor)


class OperatedCreditNotesView(OperatorApiView):
    """`/api/operator/invoices/{invoice_id}/credit-notes`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_invoices_credit",
        summary="Issue a credit note",
        tags=["Operator"],
        request=CreditNoteSerializer,
        responses={201: OperatedInvoiceSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def post(self, request: Request, invoice_id: UUID) -> Response:
        """Take an invoice back, or lines of it; lines that were credited before are left out, and 409 where none is
        left. Needs `billing:write`.
        """
        invoice = issued_invoice(invoice_id)
        asked = CreditNoteSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        note = credit_invoice(
            by=self.operator(request), invoice=invoice, reason=given["reason"], positions=given.get("lines")
        )
        return Response(OperatedInvoiceSerializer(issued_invoice(note.public_id)).data, status=201)


class OperatedPaymentsView(OperatorApiView):
    """`/api/operator/invoices/{invoice_id}/payments`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_invoices_pay",
        summary="Record a payment of an invoice",
        tags=["Operator"],
        request=RecordedPaymentSerializer,
        responses={
            200: OperatedInvoiceSerializer,
            201: OperatedInvoiceSerializer,
            **errors_of(400, 401, 403, 404, 409, 413, 415),
        },
    )
    def post(self, request: Request, invoice_id: UUID) -> Response:
        """Record what came. The same reference with the same amount again answers 200 and adds nothing. Needs
        `billing:write`.
        """
        invoice = issued_invoice(invoice_id)
        asked = RecordedPaymentSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        _payment, is_new = record_payment(by=self.operator(request), invoice=invoice, **asked.validated_data)
        return Response(OperatedInvoiceSerializer(issued_invoice(invoice_id)).data, status=201 if is_new else 200)


class OperatedJournalView(OperatorApiView):
    """`/api/operator/journal`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_journal_read",
        summary="Read the journal of some days",
        tags=["Operator"],
        parameters=[JournalQuery],
        responses={200: JournalSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Read what was issued and paid as entries for an ERP. Needs `billing:read`."""
        given = parameters(JournalQuery, request)
        return Response(JournalSerializer({"results": journal(given["first"], given["last"])}).data)
