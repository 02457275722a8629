"""What the operator says of the service."""

import unicodedata
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.account_forms import LANGUAGE_NAMES
from console.catalog_words import country_name
from identity.models import Service
from identity.service import KnownService
from identity.service_fields import GRAMS_CO2E_MAX, NAME_LENGTH_MAX, USAGE_MONTHS_MAX, USAGE_MONTHS_MIN, country_codes

_TRADES = [
    (Service.Trade.SELLER.value, _("It sells to customers, and VAT is added to its prices.")),
    (Service.Trade.CHARGEBACK.value, _("It charges back to departments of one house, without VAT.")),
]


def _line(**attributes: Any) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", **attributes})


class NamesForm(forms.Form):
    """How the service is called and whom its people ask."""

    name = forms.CharField(
        label=_("Name of the service"),
        required=False,
        max_length=NAME_LENGTH_MAX,
        widget=_line(placeholder="Beffroi"),
        help_text=_("Above the navigation, on the sign-in page and as the sender of mails."),
    )
    support_email = forms.CharField(
        label=_("Support by e-mail"), required=False, max_length=254, widget=_line(inputmode="email")
    )
    support_phone = forms.CharField(
        label=_("Support by telephone, or in words"),
        required=False,
        max_length=100,
        widget=_line(),
        help_text=_("Such as a number and the hours at which somebody answers."),
    )
    support_url = forms.CharField(
        label=_("Support page"),
        required=False,
        max_length=500,
        widget=_line(inputmode="url", placeholder="https://"),
        help_text=_("Where requests are filed or the service is explained; it stands in the help menu."),
    )


class LegalForm(forms.Form):
    """Who is behind it in law."""

    legal_name = forms.CharField(label=_("Legal name"), required=False, max_length=200, widget=_line())
    registration_number = forms.CharField(
        label=_("Registration number"),
        required=False,
        max_length=64,
        widget=_line(),
        help_text=_("In France the SIREN or SIRET, elsewhere the number in the register of companies."),
    )
    vat_number = forms.CharField(label=_("VAT number"), required=False, max_length=32, widget=_line())
    postal_address = forms.CharField(
        label=_("Postal address"),
        required=False,
        max_length=500,
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 3}),
        help_text=_("As on an envelope: postcode and city stand in the last line."),
    )
    country = forms.ChoiceField(
        label=_("Country"), required=False, choices=[], widget=forms.Select(attrs={"class": "form-select"})
    )

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        field = self.fields["country"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = country_choices()


class TradeForm(forms.Form):
    """Seller or chargeback."""

    trade = forms.ChoiceField(
        label=_("What the service is to its organisations"),
        choices=_TRADES,
        widget=forms.RadioSelect(attrs={"class": "form-check-input"}),
    )


class LanguagesForm(forms.Form):
    """From which languages people may choose."""

    languages = forms.MultipleChoiceField(
        label=_("Languages offered"),
        choices=list(LANGUAGE_NAMES.items()),
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
    )
    default_language = forms.ChoiceField(
        label=_("Language of the house"),
        choices=list(LANGUAGE_NAMES.items()),
        widget=forms.Select(attrs={"class": "form-select"}),
        help_text=_("For whom we know no other, and for who had chosen one that is no longer offered."),
    )


class EmissionsForm(forms.Form):
    """What the electricity emits."""

    grams_co2e_per_kwh = forms.IntegerField(
        label=_("Grams of CO₂e a kWh"),
        required=False,
        min_value=0,
        max_value=GRAMS_CO2E_MAX,
        widget=forms.NumberInput(attrs={"class": "form-control", "inputmode": "numeric"}),
        help_text=_("As your supplier or your country's grid declares it. Empty: pages show energy alone."),
    )


class LogoForm(forms.Form):
    """A picture."""

    logo = forms.FileField(
        label=_("Picture"),
        widget=forms.FileInput(attrs={"class": "form-control", "accept": "image/png,image/webp"}),
        help_text=_("PNG or WebP, at most 200 kB. No SVG: a drawing may carry a script."),
    )


class RetentionForm(forms.Form):
    """How long usage records stay."""

    usage_months = forms.IntegerField(
        label=_("Months that usage records are kept"),
        min_value=USAGE_MONTHS_MIN,
        max_value=USAGE_MONTHS_MAX,
        widget=forms.NumberInput(attrs={"class": "form-control", "inputmode": "numeric"}),
        help_text=_("Whole months after their own, from 13 to 120. No month is taken out before."),
    )


FORMS: dict[str, type[forms.Form]] = {
    "names": NamesForm,
    "legal": LegalForm,
    "trade": TradeForm,
    "languages": LanguagesForm,
    "emissions": EmissionsForm,
}


def filled(part: str, known: KnownService) -> forms.Form:
    """The form of a part with what is."""
    form = FORMS[part]
    initial = {field: getattr(known, field) for field in form.base_fields}
    if part == "languages":
        initial["languages"] = known.offered_languages
    return form(initial=initial, auto_id=f"{part}_%s")


def country_choices() -> list[tuple[str, str]]:
    """All countries by name, in the reader's language, after none."""
    names = [(code, country_name(code)) for code in country_codes()]
    return [("", "–"), *sorted(names, key=lambda one: _without_accents(one[1]))]


def _without_accents(text: str) -> str:
    """As people sort."""
    return unicodedata.normalize("NFD", text).encode("ascii", "ignore").decode().lower()
