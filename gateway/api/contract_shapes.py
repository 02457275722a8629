"""How a contract is told, to its organisation and to operators: values with their source, agreements, terms."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.contracts.sheet import BroughtLimit, ContractSheet
from billing.models import Limit
from gateway.api.queries import MonthField

_SOURCE = {"type": "string"}


class SourcedLimitSerializer(serializers.Serializer[Any]):
    """A limit of the contract, and who says so."""

    what = serializers.ChoiceField(choices=Limit.What.values)
    window = serializers.ChoiceField(choices=Limit.Window.values)
    amount = serializers.IntegerField(allow_null=True, help_text="Null: the tier's was agreed away.")
    limit_source = serializers.SerializerMethodField(help_text="Who says so: `tier` or `agreement`.")

    @extend_schema_field(_SOURCE)
    def get_limit_source(self, limit: BroughtLimit) -> str:
        """Where it comes from."""
        return _source(limit.is_agreed)


class AgreedLimitSerializer(serializers.Serializer[Any]):
    """A limit that an agreement has in place of the tier's."""

    what = serializers.ChoiceField(choices=Limit.What.values)
    window = serializers.ChoiceField(choices=Limit.Window.values)
    amount = serializers.IntegerField(allow_null=True, help_text="Null: no limit of this kind.")


class AgreementSerializer(serializers.Serializer[Any]):
    """What was agreed otherwise than the tier says, for a time. Money is whole nano-EUR."""

    id = serializers.IntegerField(source="agreement.pk")
    reference = serializers.CharField(source="agreement.reference")
    document_url = serializers.CharField(source="agreement.document_url")
    is_planned = serializers.BooleanField(help_text="It has not begun.")
    first_day = serializers.DateField(help_text="In the organisation's time zone.")
    last_day = serializers.DateField(
        allow_null=True, help_text="As it ends, the tier's values count again; null: none."
    )
    price_list = serializers.CharField(
        source="agreement.rate_card.name", default="", help_text="Of its own; empty: that of the tier."
    )
    is_cap_agreed = serializers.BooleanField(source="agreement.is_cap_agreed")
    monthly_cap_nano_eur = serializers.IntegerField(
        source="agreement.monthly_cap_nano_eur", allow_null=True, help_text="Where a cap is agreed; null: none."
    )
    limits = AgreedLimitSerializer(source="agreement.limits", many=True)
    models = serializers.ListField(child=serializers.CharField(), help_text="Shown by this agreement, by id.")
    availability_millionths = serializers.IntegerField(
        source="agreement.availability_millionths", allow_null=True, help_text="Promised: 999,000 for 99.9 %."
    )
    support_class = serializers.CharField(source="agreement.support_class")


class TermStepSerializer(serializers.Serializer[Any]):
    """From how much a month on which share is given back."""

    above_nano_eur = serializers.IntegerField()
    share_millionths = serializers.IntegerField(help_text="50,000 for 5 %.")


class TermSerializer(serializers.Serializer[Any]):
    """A discount or fixed line of the bill. Money is whole nano-EUR, shares are millionths: 50,000 for 5 %."""

    id = serializers.IntegerField(source="pk")
    kind = serializers.CharField(help_text="`percent`, `steps`, `commitment`, `fee` or `service`.")
    description = serializers.CharField()
    first_month = MonthField()
    last_month = MonthField(allow_null=True, help_text="Null: it has no end.")
    amount_nano_eur = serializers.IntegerField(allow_null=True, help_text="Of a fee, a service, a commitment.")
    share_millionths = serializers.IntegerField(
        allow_null=True, help_text="Of a percentage, and what a commitment gives."
    )
    steps = TermStepSerializer(many=True, help_text="Of a discount by volume: each on what lies above it.")


class TermLineSerializer(serializers.Serializer[Any]):
    """A line of a month's bill beside its usage."""

    kind = serializers.CharField(help_text="`fee` or `discount`.")
    key = serializers.CharField(help_text="The same each time for the month.")
    description = serializers.CharField()
    explained = serializers.CharField(help_text="How the amount came about.")
    amount_nano_eur = serializers.IntegerField(help_text="Below zero for a discount.")


class SheetSerializer(serializers.Serializer[Any]):
    """What both are told of a contract; its instance is `{"sheet": ContractSheet, ...}`."""

    price_source = serializers.SerializerMethodField(help_text="Who says so: `tier` or `agreement`.")
    cap_source = serializers.SerializerMethodField(help_text="As `price_source`, of the cap.")
    limits = SourcedLimitSerializer(source="sheet.limits", many=True, help_text="Those that the contract brought.")
    agreements = AgreementSerializer(
        source="sheet.agreements", many=True, help_text="The one in force, then those that are planned."
    )
    terms = TermSerializer(
        source="sheet.terms", many=True, help_text="Discounts and fixed lines that run, and those to come."
    )

    @extend_schema_field(_SOURCE)
    def get_price_source(self, shown: dict[str, ContractSheet]) -> str:
        """Of the price list."""
        return _source(shown["sheet"].are_prices_agreed)

    @extend_schema_field(_SOURCE)
    def get_cap_source(self, shown: dict[str, ContractSheet]) -> str:
        """Of the cap."""
        return _source(shown["sheet"].is_cap_agreed)


def _source(is_agreed: bool) -> str:  # noqa: FBT001  # what it is about
    return "agreement" if is_agreed else "tier"
