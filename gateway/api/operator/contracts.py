"""An organisation's contract, for those who run the platform: tier, agreements, what its bill has beside usage."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.contracts.agreements import (
    LIMITS_MAX,
    MODELS_MAX,
    REFERENCE_LENGTH_MAX,
    SUPPORT_LENGTH_MAX,
    URL_LENGTH_MAX,
    AgreementWish,
    end_agreement,
    put_agreement,
)
from billing.contracts.own_prices import put_own_prices
from billing.contracts.sheet import contract_sheet, prices_left_behind
from billing.contracts.terms import DESCRIPTION_LENGTH_MAX, STEPS_MAX, TermWish, add_term, end_term
from billing.contracts.tiers import all_tiers
from billing.limits.budgets import HIGHEST_LIMIT
from billing.limits.limits import HIGHEST_AMOUNT
from billing.models import ContractTerm, Limit, RateCard
from billing.models.agreements import WHOLE
from billing.models.prices import Mode
from billing.prices.changes import REASON_LENGTH_MAX, WISHES_MAX, PriceWish
from billing.prices.price_book import HIGHEST_PRICE
from billing.tenants.changes import move_tenant
from gateway.api.contract_shapes import SheetSerializer, TermSerializer
from gateway.api.operator.price_lists import BY_MINUTE_HELP
from gateway.api.operator.view import OperatorApiView, tenant_of
from gateway.api.problems import errors_of
from gateway.api.queries import MonthField, StrictMember, StrictSerializer, TextField, YesNoField
from identity.errors import Invalid, NotFound
from identity.models import Tenant


class OperatedContractSerializer(SheetSerializer):
    """The contract in force of an organisation. Money is whole nano-EUR."""

    tier = serializers.CharField(source="sheet.contract.tier.code")
    tier_version = serializers.IntegerField(
        source="sheet.contract.tier_version", help_text="Of the tier when its limits and cap were last brought."
    )
    rate_card = serializers.CharField(source="sheet.contract.rate_card.name")
    prices_left_behind = serializers.IntegerField(
        allow_null=True,
        help_text="How many prices the tier's list got since the agreed one was begun, which does not follow it; null: "
        "the tier's list counts.",
    )
    starts_at = serializers.DateTimeField(source="sheet.contract.starts_at")
    monthly_cap_nano_eur = serializers.IntegerField(
        source="sheet.cap_nano_eur", allow_null=True, help_text="That the contract brought; null: none."
    )


class WishedContractSerializer(StrictSerializer):
    """Which contract is to be in force."""

    tier = TextField(max_length=32, help_text="The code of a tier that is offered, or of the contract in force.")
    rate_card = TextField(
        required=False,
        allow_blank=True,
        max_length=100,
        help_text="Left out: that of the tier, or of what is agreed where the tier stays.",
    )


class WishedLimitSerializer(StrictMember):
    """A limit in place of the tier's."""

    what = serializers.ChoiceField(choices=Limit.What.values)
    window = serializers.ChoiceField(choices=Limit.Window.values)
    amount = serializers.IntegerField(
        min_value=0, max_value=HIGHEST_AMOUNT, allow_null=True, help_text="Null: no limit of this kind."
    )


class WishedAgreementSerializer(StrictSerializer):
    """What is agreed, all of it: what is left out is the tier's. Money is whole nano-EUR."""

    first_day = serializers.DateField(
        required=False, allow_null=True, help_text="In the organisation's time zone. Left out, or today: from now."
    )
    last_day = serializers.DateField(required=False, allow_null=True, help_text="Left out: it has no end.")
    rate_card = TextField(required=False, allow_blank=True, max_length=100, help_text="A price list by its name.")
    is_cap_agreed = YesNoField(required=False, help_text="Whether `monthly_cap_nano_eur` counts.")
    monthly_cap_nano_eur = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=HIGHEST_LIMIT, help_text="Null: no cap."
    )
    limits = serializers.ListField(required=False, child=WishedLimitSerializer(), max_length=LIMITS_MAX)
    models = serializers.ListField(
        required=False,
        child=TextField(max_length=200),
        max_length=MODELS_MAX,
        help_text="By id: published models that are shown to chosen organisations, and so to this one for that time.",
    )
    availability_millionths = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=WHOLE, help_text="Promised: 999,000 for 99.9 %."
    )
    support_class = TextField(required=False, allow_blank=True, max_length=SUPPORT_LENGTH_MAX)
    reference = TextField(required=False, allow_blank=True, max_length=REFERENCE_LENGTH_MAX)
    document_url = TextField(required=False, allow_blank=True, max_length=URL_LENGTH_MAX)


class WishedStepSerializer(StrictMember):
    """A step of a discount by volume."""

    above_nano_eur = serializers.IntegerField(min_value=0, max_value=HIGHEST_LIMIT)
    share_millionths = serializers.IntegerField(min_value=1, max_value=WHOLE, help_text="50,000 for 5 %.")


class WishedTermSerializer(StrictSerializer):
    """A discount or fixed line. Money is whole nano-EUR, shares are millionths: 50,000 for 5 %."""

    kind = serializers.ChoiceField(choices=ContractTerm.Kind.values)
    first_month = MonthField(help_text="Such as `2027-01`, in the organisation's time zone; no past one.")
    last_month = MonthField(required=False, allow_null=True, help_text="Left out: no end. A commitment needs one.")
    description = TextField(
        required=False, allow_blank=True, max_length=DESCRIPTION_LENGTH_MAX, help_text="Its name on the bill."
    )
    amount_nano_eur = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=HIGHEST_LIMIT,
        help_text="Of a fee, service, commitment.",
    )
    share_millionths = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=WHOLE,
        help_text="Of a percentage; of a commitment, too.",
    )
    steps = serializers.ListField(required=False, child=WishedStepSerializer(), max_length=STEPS_MAX)


class OwnPriceSerializer(StrictMember):
    """All prices of a model in a mode."""

    model = TextField(max_length=200, help_text="Its id.")
    mode = serializers.ChoiceField(choices=Mode.values, default=Mode.STANDARD)
    nano_eur_per_million = serializers.DictField(
        child=serializers.IntegerField(min_value=0, max_value=HIGHEST_PRICE), help_text="By meter."
    )
    audio_by_started_minute = YesNoField(default=False, help_text=BY_MINUTE_HELP)


class OwnPricesSerializer(StrictSerializer):
    """What models are to cost for the organisation alone."""

    prices = serializers.ListField(child=OwnPriceSerializer(), min_length=1, max_length=WISHES_MAX)
    reason = TextField(
        required=False,
        allow_blank=True,
        max_length=REASON_LENGTH_MAX,
        help_text="Why, for operators. A rise needs one where the billing settings ask for notice.",
    )


class TermEndSerializer(StrictSerializer):
    """With which month a term ends."""

    last_month = MonthField(help_text="The month before this one takes it off the month that runs, too.")


class _ContractsView(OperatorApiView):
    noun = "tiers"

    def _tenant(self, request: Request, external_id: str) -> Tenant:
        return tenant_of(external_id)


class OperatedContractView(_ContractsView):
    """`/api/operator/tenants/{external_id}/contract`."""

    @extend_schema(
        operation_id="operator_tenants_contract_read",
        summary="Read an organisation's contract",
        tags=["Operator"],
        responses={200: OperatedContractSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, external_id: str) -> Response:
        """Read the contract in force; 404 where there is none. Needs `tiers:read`."""
        return Response(_shown(self._tenant(request, external_id)))

    @extend_schema(
        operation_id="operator_tenants_contract_put",
        summary="Start another contract",
        tags=["Operator"],
        request=WishedContractSerializer,
        responses={200: OperatedContractSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def put(self, request: Request, external_id: str) -> Response:
        """Let a contract of this tier, at these prices, be in force, from now. Of the tier and prices in force, it
        brings what the tier is now, and what is agreed stays; another tier ends it. The same again changes nothing.
        Needs `tiers:write`.
        """
        tenant = self._tenant(request, external_id)
        asked = WishedContractSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        tier = all_tiers().select_related("rate_card").filter(code=given["tier"]).first()
        if tier is None:
            raise Invalid("tier", "There is no tier of this code.")
        move_tenant(by=self.operator(request), tenant=tenant, tier=tier, rate_card=_card(given.get("rate_card", "")))
        return Response(_shown(tenant))


class OperatedAgreementView(_ContractsView):
    """`/api/operator/tenants/{external_id}/contract/agreement`."""

    @extend_schema(
        operation_id="operator_tenants_agreement_put",
        summary="Agree on values of a contract",
        tags=["Operator"],
        request=WishedAgreementSerializer,
        responses={200: OperatedContractSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def put(self, request: Request, external_id: str) -> Response:
        """Let this be agreed: from now, in place of what is agreed now, or from a day to come, in place of what was
        planned for that day. The same again changes nothing. The organisation is told. Needs `tiers:write`.
        """
        tenant = self._tenant(request, external_id)
        asked = WishedAgreementSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        put_agreement(by=self.operator(request), tenant=tenant, wish=AgreementWish(**asked.validated_data))
        return Response(_shown(tenant))


class OperatedAgreementEndView(_ContractsView):
    """`/api/operator/tenants/{external_id}/contract/agreements/{agreement_id}`."""

    @extend_schema(
        operation_id="operator_tenants_agreement_end",
        summary="End an agreement",
        tags=["Operator"],
        responses={204: None, **errors_of(401, 403, 404, 409)},
    )
    def delete(self, request: Request, external_id: str, agreement_id: int) -> Response:
        """End the one in force, now, or take back a planned one. The organisation is told. Needs `tiers:write`."""
        tenant = self._tenant(request, external_id)
        end_agreement(by=self.operator(request), tenant=tenant, agreement_id=agreement_id)
        return Response(status=204)


class OperatedOwnPricesView(_ContractsView):
    """`/api/operator/tenants/{external_id}/contract/own-prices`."""

    @extend_schema(
        operation_id="operator_tenants_own_prices_put",
        summary="Agree on prices of models",
        tags=["Operator"],
        request=OwnPricesSerializer,
        responses={200: OperatedContractSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def put(self, request: Request, external_id: str) -> Response:
        """Let the models cost this for the organisation, from now and as long as what is agreed counts: all of them or,
        where one is refused, none. All other models cost what they cost now. The organisation is told. Needs
        `tiers:write` and `prices:write`.
        """
        tenant = self._tenant(request, external_id)
        asked = OwnPricesSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        wishes = [
            PriceWish(
                one["model"],
                one["nano_eur_per_million"],
                mode=one["mode"],
                audio_by_started_minute=one["audio_by_started_minute"],
            )
            for one in asked.validated_data["prices"]
        ]
        reason = asked.validated_data.get("reason", "")
        plans = put_own_prices(by=self.operator(request), tenant=tenant, wishes=wishes, reason=reason)
        for plan in plans:
            if plan.error is not None:
                raise plan.error
        return Response(_shown(tenant))


class OperatedTermsView(_ContractsView):
    """`/api/operator/tenants/{external_id}/contract/terms`."""

    @extend_schema(
        operation_id="operator_tenants_terms_add",
        summary="Agree on a discount or a fixed line",
        tags=["Operator"],
        request=WishedTermSerializer,
        responses={200: TermSerializer, 201: TermSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def post(self, request: Request, external_id: str) -> Response:
        """Let it count for whole months. The same again is the same one, answered 200. The organisation is told. Needs
        `tiers:write`.
        """
        tenant = self._tenant(request, external_id)
        asked = WishedTermSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        term, is_new = add_term(by=self.operator(request), tenant=tenant, wish=TermWish(**asked.validated_data))
        return Response(TermSerializer(term).data, status=201 if is_new else 200)


class OperatedTermEndView(_ContractsView):
    """`/api/operator/tenants/{external_id}/contract/terms/{term_id}/end`."""

    @extend_schema(
        operation_id="operator_tenants_terms_end",
        summary="End a discount or a fixed line",
        tags=["Operator"],
        request=TermEndSerializer,
        responses={200: OperatedContractSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def post(self, request: Request, external_id: str, term_id: int) -> Response:
        """Let it count until that month and no longer; past months keep it. Once more changes nothing. The organisation
        is told. Needs `tiers:write`.
        """
        tenant = self._tenant(request, external_id)
        asked = TermEndSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        end_term(by=self.operator(request), tenant=tenant, term_id=term_id, **asked.validated_data)
        return Response(_shown(tenant))


def _shown(tenant: Tenant) -> Any:
    sheet = contract_sheet(tenant)
    if sheet is None:
        raise NotFound("contract")
    left_behind = prices_left_behind(sheet.contract)
    return OperatedContractSerializer({"sheet": sheet, "prices_left_behind": left_behind}).data


def _card(name: str) -> RateCard | None:
    if not name:
        return None
    found = RateCard.objects.filter(name=name).first()
    if found is None:
        raise Invalid("rate_card", "There is no price list of this name.")
    return found
