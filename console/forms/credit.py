"""What is typed of prepaid credit: by who orders it, and by the operator who records payments. The verbs decide."""

from typing import Any
from uuid import uuid4

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.credit.alerts import PERCENTS_MAX
from billing.credit.moves import IDEMPOTENCY_KEY_LENGTH_MAX, REASON_LENGTH_MAX, REFERENCE_LENGTH_MAX
from billing.credit.orders import PURCHASE_ORDER_LENGTH_MAX
from billing.credit.rules import MONTHS_MAX
from billing.models import Tier
from console.project_forms import AmountField


def _control(**attributes: Any) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", **attributes})


def _day() -> forms.DateInput:
    return forms.DateInput(attrs={"class": "form-control", "type": "date"}, format="%Y-%m-%d")


class TopUpForm(forms.Form):
    """An order of credit."""

    amount = AmountField(label=_("Amount in euros, without VAT"), widget=_control(inputmode="decimal"))
    purchase_order = forms.CharField(
        label=_("Your purchase-order number"),
        required=False,
        max_length=PURCHASE_ORDER_LENGTH_MAX,
        widget=_control(),
        help_text=_("If your organisation has one: it is repeated on what you are billed."),
    )


class CreditAlertsForm(forms.Form):
    """At what balance people are told."""

    percents = forms.CharField(
        label=_("Percent of the last top-up that are left"),
        required=False,
        max_length=40,
        widget=_control(inputmode="numeric"),
        help_text=_("Whole numbers with commas between them, such as 20, 5. Empty: none."),
    )
    amount = AmountField(
        label=_("Or an amount in euros"),
        required=False,
        widget=_control(inputmode="decimal"),
        help_text=_("Below it you are told, whatever the last top-up was. Empty: none."),
    )

    def clean_percents(self) -> list[int]:
        """Raises `ValidationError`."""
        parts = self.cleaned_data["percents"].replace("%", "").replace(";", ",").split(",")
        words = [part.strip() for part in parts if part.strip()]
        if len(words) > PERCENTS_MAX or not all(word.isascii() and word.isdigit() for word in words):
            raise forms.ValidationError(_("Give whole numbers, such as 20, 5."))
        return [int(word) for word in words]


class _OnceForm(forms.Form):
    """Sent twice by mistake, it counts once."""

    idempotency_key = forms.CharField(max_length=IDEMPOTENCY_KEY_LENGTH_MAX, widget=forms.HiddenInput())

    def __init__(self, data: Any, **options: Any) -> None:
        super().__init__(data, **options)
        self.fields["idempotency_key"].initial = str(uuid4())


class PaymentForm(_OnceForm):
    """A payment that came in."""

    amount = AmountField(
        label=_("Amount received in euros, without VAT"),
        widget=_control(inputmode="decimal"),
        help_text=_("So much becomes credit. VAT that was paid with it is no credit."),
    )
    received_on = forms.DateField(label=_("Received on"), widget=_day())
    reference = forms.CharField(
        label=_("Reference"),
        required=False,
        max_length=REFERENCE_LENGTH_MAX,
        widget=_control(),
        help_text=_("As the bank gives it. The organisation reads it."),
    )


class CorrectionForm(_OnceForm):
    """A correction, or money that was paid back."""

    amount = AmountField(
        label=_("Amount in euros, without VAT"),
        widget=_control(inputmode="text"),
        help_text=_("With a minus sign it is taken from the credit, such as -50."),
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=REASON_LENGTH_MAX,
        widget=_control(),
        help_text=_("It stays with the entry, and the organisation reads it."),
    )


class CancelOrderForm(forms.Form):
    """Why an order is cancelled."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=REASON_LENGTH_MAX,
        widget=_control(),
        help_text=_("The organisation's people read it."),
    )


class CreditRuleForm(forms.Form):
    """How long credit lasts."""

    tier = forms.ChoiceField(label=_("Tier"), required=False, widget=forms.Select(attrs={"class": "form-select"}))
    how = forms.ChoiceField(
        label=_("Credit that is recorded from now on"),
        choices=(
            ("months", _("ends after so many months")),
            ("never", _("never ends")),
            ("default", _("follows the rule of all tiers")),
        ),
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    months = forms.IntegerField(
        label=_("Months"),
        required=False,
        min_value=1,
        max_value=MONTHS_MAX,
        widget=forms.NumberInput(attrs={"class": "form-control", "inputmode": "numeric"}),
    )

    def __init__(self, data: Any, *, tiers: list[Tier]) -> None:
        super().__init__(data)
        self._tiers = {tier.code: tier for tier in tiers}
        choices = [(tier.code, tier.name) for tier in tiers]
        self.fields["tier"].choices = [("", _("All tiers that have no rule of their own")), *choices]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Raises `ValidationError`."""
        given = super().clean() or {}
        if given.get("how") == "months" and not given.get("months") and "months" not in self.errors:
            self.add_error("months", _("Give a number of months."))
        return given

    @property
    def chosen_tier(self) -> Tier | None:
        """None for the rule of all."""
        return self._tiers.get(self.cleaned_data["tier"])
