"""Who pays for an organisation: an address to ask, and who the payer is in law."""

from django import forms
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from billing.legal_parties import PartyWish
from console.catalog_words import country_name
from identity.service_fields import country_codes

_TEXT = {"class": "form-control"}


class PayerAddressForm(forms.Form):
    """Whom to ask."""

    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        help_text=_("Of somebody who may decide for the other legal entity. No member of your organisation."),
        widget=forms.EmailInput(attrs=_TEXT | {"autocomplete": "off"}),
    )


class PayerIdentityForm(forms.Form):
    """Who it is in law."""

    legal_name = forms.CharField(label=_("Legal name"), max_length=200, widget=forms.TextInput(attrs=_TEXT))
    address = forms.CharField(
        label=_("Address"),
        max_length=300,
        help_text=_("Street and number, three lines at most."),
        widget=forms.Textarea(attrs=_TEXT | {"rows": 2}),
    )
    postcode = forms.CharField(label=_("Postcode"), max_length=16, widget=forms.TextInput(attrs=_TEXT))
    city = forms.CharField(label=_("City"), max_length=100, widget=forms.TextInput(attrs=_TEXT))
    country = forms.ChoiceField(label=_("Country"), widget=forms.Select(attrs={"class": "form-select"}))
    registration_number = forms.CharField(
        label=_("Registration number"),
        required=False,
        max_length=64,
        help_text=_("In France: the SIREN or SIRET."),
        widget=forms.TextInput(attrs=_TEXT),
    )
    vat_number = forms.CharField(
        label=_("VAT number"), required=False, max_length=32, widget=forms.TextInput(attrs=_TEXT)
    )
    billing_email = forms.EmailField(
        label=_("E-mail address for invoices"),
        required=False,
        max_length=254,
        widget=forms.EmailInput(attrs=_TEXT),
    )
    buyer_reference = forms.CharField(
        label=_("Your reference"),
        required=False,
        max_length=100,
        help_text=_("Each invoice names it."),
        widget=forms.TextInput(attrs=_TEXT),
    )
    purchase_order = forms.CharField(
        label=_("Purchase order"), required=False, max_length=100, widget=forms.TextInput(attrs=_TEXT)
    )

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        named = sorted(((code, country_name(code)) for code in country_codes()), key=lambda one: one[1])
        self.fields["country"].choices = [("", "–"), *named]  # type: ignore[attr-defined]

    def wish(self, language: str | None = None) -> PartyWish:
        """Who it is to be; invoices in the language in which it is said."""
        return PartyWish(**self.cleaned_data, language=language or (get_language() or "en").split("-")[0])
