"""Who an organisation is in law: whom its invoices are made out to."""

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.invoices.legal_parties import PartyWish, party_of, put_party
from billing.models import LegalParty
from gateway.api.problems import errors_of
from gateway.api.queries import StrictSerializer, optional_text
from gateway.api.view import ApiView
from identity.access import Caller
from identity.permissions import Permission


class LegalIdentitySerializer(StrictSerializer):
    """All of it: what is left out is empty."""

    legal_name = optional_text(200)
    registration_number = optional_text(
        64, "In France the SIREN or SIRET, elsewhere the number in the register of companies."
    )
    vat_number = optional_text(32, "With the letters of its country; its form is checked.")
    address = optional_text(300, "At most three lines, without postcode and city.")
    postcode = optional_text(16)
    city = optional_text(100)
    country = optional_text(2, "ISO 3166-1, two letters.")
    billing_email = optional_text(254)
    buyer_reference = optional_text(100, "What the buyer wants on every invoice (BT-10).")
    contract_reference = optional_text(100)
    purchase_order = optional_text(100, "Of the whole organisation; projects can have their own.")
    language = optional_text(8, "Of its invoices: `en`, `fr` or `es`; empty: that of the house.")


class LegalIdentityView(ApiView):
    """`/api/legal-identity`."""

    @extend_schema(
        operation_id="legal_identity_read",
        summary="Read whom invoices are made out to",
        tags=["Billing"],
        responses={200: LegalIdentitySerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Read who the organisation is in law. Needs `billing:read`."""
        caller = self.caller(request)
        caller.require(Permission.BILLING_READ)
        return Response(shown_party(party_of(caller.tenant)))

    @extend_schema(
        operation_id="legal_identity_put",
        summary="Say whom invoices are made out to",
        tags=["Billing"],
        request=LegalIdentitySerializer,
        responses={200: LegalIdentitySerializer, **errors_of(400, 401, 403, 413, 415)},
    )
    def put(self, request: Request) -> Response:
        """Say all of it anew; what was issued stays as it is. Needs `billing:manage`."""
        return put_shown(self.caller(request), request)


def put_shown(caller: Caller, request: Request) -> Response:
    """What was sent, kept for the caller's tenant."""
    caller.require(Permission.BILLING_UPDATE)
    asked = LegalIdentitySerializer(data=request.data)
    asked.is_valid(raise_exception=True)
    put_party(by=caller, wish=PartyWish(**asked.validated_data))
    return Response(shown_party(party_of(caller.tenant)))


def shown_party(party: LegalParty) -> dict[str, Any]:
    """Its members."""
    return {name: getattr(party, name) for name in asdict(PartyWish())}
