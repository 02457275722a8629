"""How the seller bills, for scripts of those who run the platform: settings, rates of VAT."""

from datetime import date
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.invoices.settings import (
    PAYMENT_DAYS_MAX,
    RATE_MAX,
    RISE_NOTICE_DAYS_MAX,
    KnownRate,
    accounts_of,
    billing_settings,
    change_billing_settings,
    end_vat_rate,
    known_rates,
    put_vat_rate,
)
from billing.models import BillingSettings
from gateway.api.operator.view import OperatorApiView
from gateway.api.problems import errors_of
from gateway.api.queries import StrictSerializer, TextField, YesNoField, optional_text
from identity.errors import NotFound


class BillingSettingsSerializer(StrictSerializer):
    """What invoices say beside their lines. What is left out stays."""

    iban = optional_text(42)
    bic = optional_text(11)
    account_name = optional_text(200)
    legal_mention = optional_text(300)
    payment_days = serializers.IntegerField(required=False, min_value=0, max_value=PAYMENT_DAYS_MAX)
    late_payment = optional_text(500)
    recovery = optional_text(500)
    early_payment = optional_text(500)
    invoice_prefix = optional_text(12)
    credit_note_prefix = optional_text(12)
    is_vat_exempt = YesNoField(required=False)
    exemption_text = optional_text(300)
    needs_two_people = YesNoField(required=False)
    credit_invoiced = serializers.ChoiceField(choices=BillingSettings.CreditInvoiced.values, required=False)
    accounts = serializers.DictField(
        child=TextField(max_length=20, allow_blank=True), required=False, help_text="Of the journal, by name."
    )
    rise_notice_days = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=RISE_NOTICE_DAYS_MAX,
        help_text="A price that rises sooner than so many days after it was told needs a reason in writing.",
    )


class VatRateSerializer(serializers.Serializer[Any]):
    """A standard rate from a day on."""

    country = serializers.CharField(source="rate.country")
    valid_from = serializers.DateField(source="rate.valid_from")
    basis_points = serializers.IntegerField(source="rate.basis_points", help_text="Hundredths of a percent.")
    is_own = serializers.BooleanField(help_text="The operator's own, before those that are shipped.")


class VatRatesSerializer(serializers.Serializer[Any]):
    """All that are known."""

    results = VatRateSerializer(many=True)


class WishedRateSerializer(StrictSerializer):
    """A rate."""

    basis_points = serializers.IntegerField(min_value=0, max_value=RATE_MAX)


class BillingSettingsView(OperatorApiView):
    """`/api/operator/billing-settings`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_billing_settings_read",
        summary="Read how invoices are made",
        tags=["Operator"],
        responses={200: BillingSettingsSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Read all of it. Needs `billing:read`."""
        return Response(_shown())

    @extend_schema(
        operation_id="operator_billing_settings_change",
        summary="Change how invoices are made",
        tags=["Operator"],
        request=BillingSettingsSerializer,
        responses={200: BillingSettingsSerializer, **errors_of(400, 401, 403, 413, 415)},
    )
    def patch(self, request: Request) -> Response:
        """Change what is given, for invoices to come. Needs `billing:write`."""
        asked = BillingSettingsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        change_billing_settings(by=self.operator(request), **asked.validated_data)
        return Response(_shown())


class VatRatesView(OperatorApiView):
    """`/api/operator/vat-rates`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_vat_rates_list",
        summary="List rates of VAT",
        tags=["Operator"],
        responses={200: VatRatesSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the rates that are shipped and the operator's own. Needs `billing:read`."""
        return Response(VatRatesSerializer({"results": known_rates()}).data)


class VatRateView(OperatorApiView):
    """`/api/operator/vat-rates/{country}/{valid_from}`."""

    noun = "billing"

    @extend_schema(
        operation_id="operator_vat_rates_put",
        summary="Say a country's rate of VAT",
        tags=["Operator"],
        request=WishedRateSerializer,
        responses={200: VatRateSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def put(self, request: Request, country: str, valid_from: str) -> Response:
        """Say the standard rate from a day on. Needs `billing:write`."""
        asked = WishedRateSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        points: int = asked.validated_data["basis_points"]
        put_vat_rate(by=self.operator(request), country=country, valid_from=_day(valid_from), basis_points=points)
        return Response(VatRateSerializer(_own(country, _day(valid_from))).data)

    @extend_schema(
        operation_id="operator_vat_rates_end",
        summary="Take a rate of one's own away",
        tags=["Operator"],
        responses={204: None, **errors_of(401, 403, 404)},
    )
    def delete(self, request: Request, country: str, valid_from: str) -> Response:
        """Forget it; 404 where there is none. Needs `billing:write`."""
        if not end_vat_rate(by=self.operator(request), country=country, valid_from=_day(valid_from)):
            raise NotFound("vat_rate")
        return Response(status=204)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise NotFound("vat_rate") from None


def _own(country: str, valid_from: date) -> KnownRate:
    wanted = country.upper(), valid_from
    return next(one for one in known_rates() if one.is_own and (one.rate.country, one.rate.valid_from) == wanted)


def _shown() -> dict[str, Any]:
    known = billing_settings()
    names = [str(name) for name in BillingSettingsSerializer().fields if str(name) != "accounts"]
    return {name: getattr(known, name) for name in names} | {"accounts": accounts_of(known)}
