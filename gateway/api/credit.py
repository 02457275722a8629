"""Prepaid credit of an organisation: what is left, where it came from, a top-up ordered."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.credit.account import account_of, lots_of, movements_of, orders_of
from billing.credit.alerts import PERCENTS_MAX, Thresholds, choose_thresholds, thresholds_of
from billing.credit.orders import PURCHASE_ORDER_LENGTH_MAX, order_top_up, withdraw_order
from billing.limits.budgets import HIGHEST_LIMIT
from billing.models import LedgerEntry
from gateway.api.problems import errors_of
from gateway.api.queries import StrictSerializer, TextField
from gateway.api.view import ApiView
from identity.access import Caller
from identity.models import Tenant
from identity.permissions import Permission

_KINDS = [LedgerEntry.Kind.TOP_UP.value, LedgerEntry.Kind.EXPIRY.value, LedgerEntry.Kind.CORRECTION.value]


class CreditLotSerializer(serializers.Serializer[Any]):
    """What came in at once; the oldest is used first."""

    id = serializers.UUIDField(help_text="Of its entry.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True, help_text="What is left then is lost; null: never.")
    amount_nano_eur = serializers.IntegerField()
    used_nano_eur = serializers.IntegerField(help_text="By requests, and what was taken back.")
    expired_nano_eur = serializers.IntegerField()
    left_nano_eur = serializers.IntegerField()


class CreditEntrySerializer(serializers.Serializer[Any]):
    """An entry of the ledger that is credit."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=_KINDS)
    amount_nano_eur = serializers.IntegerField(help_text="Below zero: it went out.")
    reason = serializers.CharField()
    created_at = serializers.DateTimeField()
    received_on = serializers.DateField(allow_null=True, help_text="Of a payment.")
    reference = serializers.CharField(allow_null=True, help_text="Of a payment.")
    order_id = serializers.IntegerField(allow_null=True, help_text="That it paid.")


class CreditOrderSerializer(serializers.Serializer[Any]):
    """An order of credit."""

    id = serializers.IntegerField()
    amount_nano_eur = serializers.IntegerField(help_text="Without VAT.")
    purchase_order = serializers.CharField(help_text="Empty where there is none.")
    tier = serializers.CharField(source="tier.code", default=None, allow_null=True, help_text="Begins when it is paid.")
    state = serializers.CharField(help_text="`open`, `paid` or `cancelled`.")
    ordered_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True, help_text="When it was paid or cancelled.")
    reason = serializers.CharField(help_text="Why the operator cancelled it.")


class CreditAlertsSerializer(serializers.Serializer[Any]):
    """At what balance people are told, once a top-up."""

    percents = serializers.ListField(child=serializers.IntegerField(), help_text="Of the last top-up that are left.")
    amount_nano_eur = serializers.IntegerField(allow_null=True, help_text="Whatever the last top-up was; null: none.")


class CreditSerializer(serializers.Serializer[Any]):
    """Money paid in advance. Whole nano-EUR without VAT."""

    is_in_use = serializers.BooleanField(help_text="Requests are paid from it; else it rests.")
    balance_nano_eur = serializers.IntegerField(help_text="What is not spent.")
    held_nano_eur = serializers.IntegerField(help_text="Of the balance, reserved for requests under way.")
    ending_nano_eur = serializers.IntegerField(help_text="Of what is reserved: past its end, lost if not spent.")
    free_nano_eur = serializers.IntegerField(help_text="What new requests may still take.")
    credited_nano_eur = serializers.IntegerField(help_text="All entries.")
    spent_nano_eur = serializers.IntegerField(help_text="By requests.")
    lots = CreditLotSerializer(many=True, help_text="The newest 200, the newest first.")
    alerts = CreditAlertsSerializer()


class CreditEntriesSerializer(serializers.Serializer[Any]):
    """Entries of credit."""

    results = CreditEntrySerializer(many=True, help_text="The newest 200, the newest first.")


class CreditOrdersSerializer(serializers.Serializer[Any]):
    """Orders of credit."""

    results = CreditOrderSerializer(many=True, help_text="The newest 200, the newest first.")


class CreditWishSerializer(StrictSerializer):
    """A top-up."""

    amount_nano_eur = serializers.IntegerField(
        min_value=1, max_value=HIGHEST_LIMIT, help_text="Without VAT. The first one is at least what the tier asks for."
    )
    purchase_order = TextField(
        max_length=PURCHASE_ORDER_LENGTH_MAX, required=False, allow_blank=True, help_text="Your own number, if any."
    )


class CreditAlertsWishSerializer(StrictSerializer):
    """When people are to be told."""

    percents = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=100), max_length=PERCENTS_MAX
    )
    amount_nano_eur = serializers.IntegerField(
        min_value=1, max_value=HIGHEST_LIMIT, required=False, allow_null=True, default=None
    )


def credit_shown(tenant: Tenant) -> Mapping[str, Any]:
    """What `CreditSerializer` takes; of a tenant that never had credit, nothing everywhere."""
    account = account_of(tenant)
    names = ("balance", "held", "ending", "free", "credited", "spent")
    figures = {f"{name}_nano_eur": getattr(account, f"{name}_nano_eur") if account else 0 for name in names}
    is_in_use = account.is_in_use if account else False
    return {"is_in_use": is_in_use, **figures, "lots": lots_of(tenant), "alerts": thresholds_of(tenant)}


class CreditView(ApiView):
    """`/api/credit`."""

    @extend_schema(
        operation_id="credit_read",
        summary="Read the prepaid credit",
        tags=["Billing"],
        responses={200: CreditSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Read what is left of it, and the lots that it is made of. Needs `billing:read`."""
        return Response(CreditSerializer(credit_shown(_reader(self.caller(request)).tenant)).data)


class CreditEntriesView(ApiView):
    """`/api/credit/entries`."""

    @extend_schema(
        operation_id="credit_entries_list",
        summary="List the entries of credit",
        tags=["Billing"],
        responses={200: CreditEntriesSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List what came in and went out beside requests. Needs `billing:read`."""
        found = movements_of(_reader(self.caller(request)).tenant)
        return Response(CreditEntriesSerializer({"results": found}).data)


class CreditOrdersView(ApiView):
    """`/api/credit/orders`."""

    @extend_schema(
        operation_id="credit_orders_list",
        summary="List orders of credit",
        tags=["Billing"],
        responses={200: CreditOrdersSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the orders, those that are paid or cancelled included. Needs `billing:read`."""
        found = orders_of(_reader(self.caller(request)).tenant)
        return Response(CreditOrdersSerializer({"results": found}).data)

    @extend_schema(
        operation_id="credit_orders_create",
        summary="Order a top-up",
        tags=["Billing"],
        request=CreditWishSerializer,
        responses={201: CreditOrderSerializer, **errors_of(400, 401, 403, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Order credit: the operator is told, and records your payment when it comes; then it is credit. Needs
        `credit:order`.
        """
        caller = self.caller(request)
        caller.require(Permission.CREDIT_ORDER)
        asked = CreditWishSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        order = order_top_up(by=caller, **asked.validated_data)
        return Response(CreditOrderSerializer(order).data, status=201)


class CreditOrderView(ApiView):
    """`/api/credit/orders/{order_id}`."""

    @extend_schema(
        operation_id="credit_orders_withdraw",
        summary="Withdraw an order of credit",
        tags=["Billing"],
        responses={204: None, **errors_of(401, 403, 404, 409)},
    )
    def delete(self, request: Request, order_id: int) -> Response:
        """Take back an order that is open; 409 where it is paid or cancelled. Needs `credit:order`."""
        withdraw_order(by=self.caller(request), order_id=order_id)
        return Response(status=204)


class CreditAlertsView(ApiView):
    """`/api/credit/alerts`."""

    @extend_schema(
        operation_id="credit_alerts_set",
        summary="Choose when to be told that credit runs low",
        tags=["Billing"],
        request=CreditAlertsWishSerializer,
        responses={200: CreditAlertsSerializer, **errors_of(400, 401, 403, 413, 415)},
    )
    def put(self, request: Request) -> Response:
        """Choose the shares of the last top-up, or an amount, below which owners, administrators and finance are told,
        once a top-up, by the notice `credit.low`. Needs `credit:order`.
        """
        caller = self.caller(request)
        caller.require(Permission.CREDIT_ORDER)
        asked = CreditAlertsWishSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(
            CreditAlertsSerializer(choose_thresholds(by=caller, wanted=Thresholds(**asked.validated_data))).data
        )


def _reader(caller: Caller) -> Caller:
    caller.require(Permission.BILLING_READ)
    return caller
