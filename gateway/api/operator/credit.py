"""Prepaid credit for those who run the platform: orders that wait, payments, corrections, how long it lasts."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.contracts.tiers import tier_by_code
from billing.credit.moves import (
    IDEMPOTENCY_KEY_LENGTH_MAX,
    REASON_LENGTH_MAX,
    REFERENCE_LENGTH_MAX,
    Payment,
    Recorded,
    correct_credit,
    record_payment,
)
from billing.credit.orders import cancel_order, open_orders, order_by_id
from billing.credit.rules import MONTHS_MAX, Rule, credit_rules, set_credit_rule
from billing.limits.budgets import HIGHEST_LIMIT
from billing.models import CreditOrder
from gateway.api.credit import CreditOrderSerializer, CreditSerializer, credit_shown
from gateway.api.operator.view import OperatorApiView, page_of, tenant_of
from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, StrictSerializer, TextField
from identity.errors import Invalid, NotFound
from identity.models import Tenant


class OperatedCreditOrderSerializer(CreditOrderSerializer):
    """An order, and whose it is."""

    tenant = serializers.CharField(source="tenant.slug")
    external_id = serializers.CharField(source="tenant.external_id", allow_null=True)


class OperatedCreditOrdersSerializer(serializers.Serializer[Any]):
    """A page of orders."""

    results = OperatedCreditOrderSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class PaymentSerializer(StrictSerializer):
    """A payment that came in."""

    amount_nano_eur = serializers.IntegerField(
        min_value=1, max_value=HIGHEST_LIMIT, help_text="Without VAT: so much becomes credit."
    )
    received_on = serializers.DateField(help_text="The bank's day.")
    reference = TextField(max_length=REFERENCE_LENGTH_MAX, required=False, allow_blank=True, default="")
    idempotency_key = TextField(
        max_length=IDEMPOTENCY_KEY_LENGTH_MAX,
        help_text="Of the payment, such as the bank's own id. With the same key it is credited once.",
    )


class CreditCorrectionSerializer(StrictSerializer):
    """A correction, or money paid back."""

    amount_nano_eur = serializers.IntegerField(
        min_value=-HIGHEST_LIMIT, max_value=HIGHEST_LIMIT, help_text="Below zero: it is taken from the credit."
    )
    reason = TextField(max_length=REASON_LENGTH_MAX)
    idempotency_key = TextField(max_length=IDEMPOTENCY_KEY_LENGTH_MAX)


class CancelSerializer(StrictSerializer):
    """Why."""

    reason = TextField(max_length=REASON_LENGTH_MAX, help_text="The organisation's people read it.")


class RecordedSerializer(serializers.Serializer[Any]):
    """An entry of the ledger."""

    entry_id = serializers.UUIDField()
    is_new = serializers.BooleanField(help_text="False: it had been recorded before, and nothing moved.")
    tier = serializers.CharField(source="tier.code", default=None, allow_null=True, help_text="That began with it.")


class CreditRuleSerializer(serializers.Serializer[Any]):
    """How long credit lasts."""

    tier = serializers.CharField(source="tier.code", default=None, allow_null=True, help_text="Null: of all others.")
    months = serializers.IntegerField(allow_null=True, help_text="After it was recorded; null: for ever.")


class CreditRulesSerializer(serializers.Serializer[Any]):
    """All rules."""

    results = CreditRuleSerializer(many=True)


class CreditRuleWishSerializer(StrictSerializer):
    """How long credit is to last."""

    tier = TextField(max_length=32, required=False, allow_null=True, default=None, help_text="Null: of all others.")
    months = serializers.IntegerField(min_value=1, max_value=MONTHS_MAX, allow_null=True)


class OperatedCreditOrdersView(OperatorApiView):
    """`/api/operator/credit-orders`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_credit_orders_list",
        summary="List the orders of credit that wait for a payment",
        tags=["Operator"],
        parameters=[PageQuery],
        responses={200: OperatedCreditOrdersSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List them, the oldest first. Needs `billing:read`."""
        self.operator(request)
        orders = open_orders().order_by("pk")
        return page_of(request, orders, lambda rows: OperatedCreditOrderSerializer(rows, many=True).data)


class OperatedCreditPaymentView(OperatorApiView):
    """`/api/operator/credit-orders/{order_id}/payment`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_credit_orders_pay",
        summary="Record the payment of an order",
        tags=["Operator"],
        request=PaymentSerializer,
        responses={200: RecordedSerializer, 201: RecordedSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def post(self, request: Request, order_id: int) -> Response:
        """Record what came in: it is credit at once, and a tier that was ordered with it begins. The same key with the
        same payment again answers 200 and adds nothing; with another one, 409. Needs `billing:write`.
        """
        order = order_by_id(order_id)
        return _record(self, request, order.tenant, order)


class OperatedCreditCancelView(OperatorApiView):
    """`/api/operator/credit-orders/{order_id}/cancel`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_credit_orders_cancel",
        summary="Cancel an order of credit",
        tags=["Operator"],
        request=CancelSerializer,
        responses={204: None, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def post(self, request: Request, order_id: int) -> Response:
        """Cancel an open order; the organisation is told why. Needs `billing:write`."""
        asked = CancelSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        cancel_order(by=self.operator(request), order=order_by_id(order_id), reason=asked.validated_data["reason"])
        return Response(status=204)


class OperatedCreditView(OperatorApiView):
    """`/api/operator/tenants/{external_id}/credit`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_credit_read",
        summary="Read an organisation's credit",
        tags=["Operator"],
        responses={200: CreditSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, external_id: str) -> Response:
        """Read what is left, and its lots. Needs `billing:read`."""
        return Response(CreditSerializer(credit_shown(tenant_of(external_id))).data)


class OperatedCreditPaymentsView(OperatorApiView):
    """`/api/operator/tenants/{external_id}/credit/payments`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_credit_record",
        summary="Record a payment without an order",
        tags=["Operator"],
        request=PaymentSerializer,
        responses={200: RecordedSerializer, 201: RecordedSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def post(self, request: Request, external_id: str) -> Response:
        """As the payment of an order. Needs `billing:write`."""
        return _record(self, request, tenant_of(external_id), None)


class OperatedCreditCorrectionsView(OperatorApiView):
    """`/api/operator/tenants/{external_id}/credit/corrections`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_credit_correct",
        summary="Correct an organisation's credit",
        tags=["Operator"],
        request=CreditCorrectionSerializer,
        responses={200: RecordedSerializer, 201: RecordedSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def post(self, request: Request, external_id: str) -> Response:
        """Add credit, or take what is neither spent nor reserved; with a reason, which the organisation reads. Needs
        `billing:write`.
        """
        asked = CreditCorrectionSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        recorded = correct_credit(by=self.operator(request), tenant=tenant_of(external_id), **asked.validated_data)
        return _answer(recorded)


class OperatedCreditRulesView(OperatorApiView):
    """`/api/operator/credit-rules`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_credit_rules_list",
        summary="Read how long credit lasts",
        tags=["Operator"],
        responses={200: CreditRulesSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Read the rules; without one credit lasts for ever. Needs `billing:read`."""
        self.operator(request)
        return Response(CreditRulesSerializer({"results": credit_rules()}).data)

    @extend_schema(
        operation_id="operator_credit_rules_set",
        summary="Say how long credit lasts",
        tags=["Operator"],
        request=CreditRuleWishSerializer,
        responses={200: CreditRulesSerializer, **errors_of(400, 401, 403, 413, 415)},
    )
    def put(self, request: Request) -> Response:
        """Set the rule of a tier, or of all that have none, for credit that is recorded from now on. Needs
        `billing:write`.
        """
        asked = CreditRuleWishSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        code = asked.validated_data["tier"]
        try:
            tier = tier_by_code(code) if code else None
        except NotFound:
            raise Invalid("tier", "There is no such tier.") from None
        set_credit_rule(by=self.operator(request), rule=Rule(tier, asked.validated_data["months"]))
        return Response(CreditRulesSerializer({"results": credit_rules()}).data)


def _record(view: OperatorApiView, request: Request, tenant: Tenant, order: CreditOrder | None) -> Response:
    asked = PaymentSerializer(data=request.data)
    asked.is_valid(raise_exception=True)
    payment = Payment(**asked.validated_data)
    return _answer(record_payment(by=view.operator(request), tenant=tenant, payment=payment, order=order))


def _answer(recorded: Recorded) -> Response:
    return Response(RecordedSerializer(recorded).data, status=201 if recorded.is_new else 200)
