"""Who buys and how the seller bills, as people type it. The verbs decide."""

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from billing.invoices.legal_parties import PartyWish
from billing.invoices.settings import ACCOUNTS, PAYMENT_DAYS_MAX, RISE_NOTICE_DAYS_MAX, accounts_of
from billing.models import BillingSettings
from billing.models.closings import PartyColumns
from billing.money import NANO_EUR_PER_CENT
from console.account_forms import LANGUAGE_NAMES
from console.forms.operator_service import country_choices
from console.project_forms import AmountField


def _line(**attributes: Any) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", **attributes})


def _day() -> forms.DateInput:
    return forms.DateInput(format="%Y-%m-%d", attrs={"class": "form-control", "type": "date"})


def _text(label: Any, length: int, help_text: Any = "", **attributes: Any) -> forms.CharField:
    return forms.CharField(
        label=label, required=False, max_length=length, widget=_line(**attributes), help_text=help_text
    )


class PartyForm(forms.Form):
    """Whom invoices are made out to."""

    legal_name = _text(_("Legal name"), 200)
    registration_number = _text(
        _("Registration number"),
        64,
        _("In France the SIREN or SIRET, elsewhere the number in the register of companies."),
    )
    vat_number = _text(_("VAT number"), 32, _("With the letters of its country, such as FR83552100554."))
    address = forms.CharField(
        label=_("Address"),
        required=False,
        max_length=300,
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 2}),
        help_text=_("At most three lines, without postcode and city."),
    )
    postcode = _text(_("Postcode"), 16)
    city = _text(_("City"), 100)
    country = forms.ChoiceField(
        label=_("Country"), required=False, choices=[], widget=forms.Select(attrs={"class": "form-select"})
    )
    billing_email = _text(_("E-mail address for invoices"), 254, inputmode="email")
    buyer_reference = _text(
        _("Your reference"), 100, _("What your accounts want on every invoice, such as a service code.")
    )
    purchase_order = _text(_("Purchase order"), 100, _("Of the whole organisation; projects can have their own."))
    contract_reference = _text(_("Contract reference"), 100)
    language = forms.ChoiceField(
        label=_("Language of invoices"), required=False, choices=[], widget=forms.Select(attrs={"class": "form-select"})
    )

    def __init__(self, data: Any = None, *, party: PartyColumns) -> None:
        super().__init__(data, initial={field: getattr(party, field) for field in self.base_fields})
        for field, choices in (
            ("country", country_choices()),
            ("language", [("", _("That of the house")), *_languages()]),
        ):
            chosen = self.fields[field]
            assert isinstance(chosen, forms.ChoiceField)
            chosen.choices = choices

    @property
    def wish(self) -> PartyWish:
        """What was typed."""
        return PartyWish(**self.cleaned_data)


class BankForm(forms.Form):
    """Where and when invoices are paid."""

    account_name = _text(_("Account holder"), 200, _("Empty: the legal name."))
    iban = _text(_("IBAN"), 42, spellcheck="false")
    bic = _text(_("BIC"), 11, spellcheck="false")
    payment_days = forms.IntegerField(
        label=_("Days to pay"),
        min_value=0,
        max_value=PAYMENT_DAYS_MAX,
        widget=forms.NumberInput(attrs={"class": "form-control", "inputmode": "numeric"}),
        help_text=_("From the date of the invoice."),
    )


class MentionsForm(forms.Form):
    """What the law wants said on each invoice."""

    legal_mention = _text(
        _("Form, capital and register"), 300, _("Such as: SAS with a capital of 50,000 euros, RCS Lille.")
    )
    late_payment = _text(_("Penalties for late payment"), 500)
    recovery = _text(_("Sum for recovery costs"), 500, _("In France at least 40 euros between businesses."))
    early_payment = _text(_("Discount for early payment"), 500, _("Also where there is none."))


class ApprovalForm(forms.Form):
    """Who approves a month."""

    needs_two_people = forms.BooleanField(
        label=_("Two people have to approve a month"),
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
    )


class NumbersForm(forms.Form):
    """Series of numbers, credit, exemption."""

    invoice_prefix = _text(
        _("Prefix of invoices"), 12, _("The year and the number follow: F2026-00001."), spellcheck="false"
    )
    credit_note_prefix = _text(_("Prefix of credit notes"), 12, spellcheck="false")
    credit_invoiced = forms.ChoiceField(
        label=_("Prepaid credit is invoiced"),
        choices=[
            (BillingSettings.CreditInvoiced.AT_USE.value, _("as it is used")),
            (BillingSettings.CreditInvoiced.AT_TOP_UP.value, _("when it comes in")),
        ],
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    is_vat_exempt = forms.BooleanField(
        label=_("Exempt from VAT, as a small enterprise"),
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
    )
    exemption_text = _text(
        _("Sentence of the exemption"), 300, _("As the law words it, in the language of your invoices.")
    )


class PricesForm(forms.Form):
    """How prices change."""

    rise_notice_days = forms.IntegerField(
        label=_("Days between the notice of a rise and its beginning"),
        min_value=0,
        max_value=RISE_NOTICE_DAYS_MAX,
        widget=forms.NumberInput(attrs={"class": "form-control", "inputmode": "numeric"}),
        help_text=_("As your contracts say. A rise that begins sooner needs a reason in writing; 0: none does."),
    )


class AccountsForm(forms.Form):
    """Journals and accounts of the journal's export."""

    sales_journal = _text(_("Journal of sales"), 20, spellcheck="false")
    bank_journal = _text(_("Journal of the bank"), 20, spellcheck="false")
    customers = _text(_("Account of customers"), 20, spellcheck="false")
    revenue = _text(_("Account of revenue"), 20, spellcheck="false")
    vat = _text(_("Account of VAT"), 20, spellcheck="false")
    bank = _text(_("Account of the bank"), 20, spellcheck="false")
    advances = _text(_("Account of advances"), 20, spellcheck="false")


FORMS: dict[str, type[forms.Form]] = {
    "bank": BankForm,
    "mentions": MentionsForm,
    "approval": ApprovalForm,
    "numbers": NumbersForm,
    "prices": PricesForm,
    "accounts": AccountsForm,
}


def filled(part: str, known: BillingSettings) -> forms.Form:
    """The form of a part with what is."""
    form = FORMS[part]
    initial = accounts_of(known) if part == "accounts" else {name: getattr(known, name) for name in form.base_fields}
    return form(initial=initial, auto_id=f"{part}_%s")


def changes_of(part: str, typed: dict[str, Any]) -> Any:
    """What a form that was sent changes."""
    return {"accounts": {name: typed[name] for name in ACCOUNTS}} if part == "accounts" else typed


class RateForm(forms.Form):
    """A rate of VAT from a day on."""

    country = forms.ChoiceField(label=_("Country"), choices=[], widget=forms.Select(attrs={"class": "form-select"}))
    percent = forms.DecimalField(
        label=_("Percent"),
        min_value=0,
        max_value=50,
        decimal_places=2,
        localize=True,
        widget=_line(inputmode="decimal"),
    )
    valid_from = forms.DateField(label=_("From"), widget=_day())

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        chosen = self.fields["country"]
        assert isinstance(chosen, forms.ChoiceField)
        chosen.choices = country_choices()


class CentsField(AmountField):
    """Euros as people write them; gives cents."""

    def to_python(self, value: object) -> Any:
        """Raises ValidationError for what is no amount of whole cents."""
        nano_eur = super().to_python(value)
        if nano_eur == "":
            return ""
        if nano_eur % NANO_EUR_PER_CENT:
            raise forms.ValidationError(_("The amount is no number of cents."))
        return nano_eur // NANO_EUR_PER_CENT

    def prepare_value(self, value: Any) -> Any:
        """As it is typed."""
        return super().prepare_value(value * NANO_EUR_PER_CENT if isinstance(value, int) else value)


class PaymentForm(forms.Form):
    """What came for an invoice."""

    amount = CentsField(label=_("Amount in euros"), widget=_line(inputmode="decimal"))
    paid_on = forms.DateField(label=_("Received on"), widget=_day())
    reference = forms.CharField(
        label=_("The bank's reference"),
        max_length=140,
        widget=_line(),
        help_text=_("The same one again is the same payment."),
    )
    note = _text(_("Note"), 300)


class CreditForm(forms.Form):
    """Why, and which lines."""

    reason = forms.CharField(label=_("Reason"), max_length=300, widget=_line())
    lines = forms.MultipleChoiceField(
        label=_("Lines"),
        required=False,
        choices=[],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
        help_text=_("None chosen: the whole invoice."),
    )

    def __init__(self, data: Any = None, *, lines: list[tuple[str, str]]) -> None:
        super().__init__(data)
        chosen = self.fields["lines"]
        assert isinstance(chosen, forms.MultipleChoiceField)
        chosen.choices = lines

    @property
    def positions(self) -> list[int] | None:
        """Of the lines that were chosen; None: all."""
        return [int(position) for position in self.cleaned_data["lines"]] or None


class BankFileForm(forms.Form):
    """A bank's file."""

    file = forms.FileField(
        label=_("File of payments"),
        widget=forms.FileInput(attrs={"class": "form-control", "accept": ".csv,text/csv"}),
        help_text=_("CSV with the columns date, amount_eur, reference and invoice."),
    )


def _languages() -> list[tuple[str, Any]]:
    return [(code, LANGUAGE_NAMES[code]) for code, _name in settings.LANGUAGES]
