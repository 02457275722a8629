"""Who pays for an organisation: an address to ask, and who the payer is in law."""

from typing import Any

from django import forms
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from billing.invoices.legal_parties import NEEDED
from billing.models import Payer
from console.forms.billing_identity import PartyForm

_TEXT = {"class": "form-control"}


class PayerAddressForm(forms.Form):
    """Whom to ask."""

    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        help_text=_("Of somebody who may decide for the other legal entity. No member of your organisation."),
        widget=forms.EmailInput(attrs=_TEXT | {"autocomplete": "off"}),
    )


class PayerIdentityForm(PartyForm):
    """Who it is in law: what an invoice cannot do without is asked for. In the reader's language, unless it is said."""

    def __init__(self, data: Any = None, *, party: Payer) -> None:
        super().__init__(data, party=party)
        for name in NEEDED:
            self.fields[name].required = True
        self.initial["language"] = party.language or get_language()
