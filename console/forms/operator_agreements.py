"""What an operator types of an agreement, and of a discount or fixed line. The verbs decide."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from billing.contracts.agreements import (
    REFERENCE_LENGTH_MAX,
    SUPPORT_LENGTH_MAX,
    URL_LENGTH_MAX,
    AgreementWish,
    models_to_agree_on,
)
from billing.contracts.sheet import Dated
from billing.contracts.terms import DESCRIPTION_LENGTH_MAX, STEPS_MAX, TermWish
from billing.limits.limits import HIGHEST_AMOUNT
from billing.models import ContractTerm, RateCard, Tier
from billing.shares import NotAShare, exact_percent, parse_percent
from console.forms.operator_models import reason_field
from console.forms.operator_tiers import AT_ONCE, limit_grid, limit_kinds
from console.limit_words import words_of_what
from console.project_forms import AmountField, LimitAmountField

Kind = ContractTerm.Kind
NONE = "-"  # typed for a limit that the tier has and the organisation has not
_DATE = {"class": "form-control", "type": "date"}
_MONTH = {"class": "form-control", "type": "month", "placeholder": "2027-01"}
_CAPS = (("tier", _("as the tier says")), ("own", _("another amount")), ("none", _("no cap")))


def _control(**attributes: Any) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", **attributes})


class ShareField(forms.CharField):
    """A percentage as people write it; gives millionths, None for nothing."""

    def to_python(self, value: object) -> Any:
        """Raises ValidationError for what is no percentage."""
        text = str(value or "").strip()
        try:
            return parse_percent(text) if text else None
        except NotAShare:
            raise ValidationError(_("Give a percentage, such as 10 or 12.5.")) from None

    def prepare_value(self, value: Any) -> Any:
        """As it is typed."""
        return exact_percent(value) if isinstance(value, int) else value


class MonthField(forms.CharField):
    """A month as browsers send it, `2027-01`; gives its first day, None for nothing."""

    def to_python(self, value: object) -> Any:
        """Raises ValidationError for what is no month."""
        text = str(value or "").strip()
        try:
            return date.fromisoformat(f"{text}-01") if text else None
        except ValueError:
            raise ValidationError(_("Give a month, such as 2027-01.")) from None

    def prepare_value(self, value: Any) -> Any:
        """As browsers take it."""
        return f"{value:%Y-%m}" if isinstance(value, date) else value


class OwnLimitField(forms.CharField):
    """A limit instead of the tier's; gives the amount, `NONE` for no limit of that kind, "" for the tier's."""

    def to_python(self, value: object) -> Any:
        """Raises ValidationError for what is neither a whole number nor a hyphen."""
        text = str(value or "").strip()
        if text in ("", NONE):
            return text
        if not text.isascii() or not text.isdigit() or int(text) > HIGHEST_AMOUNT:
            raise ValidationError(_("A whole number, or a hyphen for none."))
        return int(text)


class AgreementForm(forms.Form):
    """What is agreed otherwise than the tier says."""

    reference = forms.CharField(
        label=_("Reference of the paper"),
        required=False,
        max_length=REFERENCE_LENGTH_MAX,
        widget=_control(),
        help_text=_("What both sides call it, such as C-2027-014. The organisation reads it beside each agreed value."),
    )
    document_url = forms.CharField(
        label=_("Where the paper is"),
        required=False,
        max_length=URL_LENGTH_MAX,
        widget=_control(inputmode="url", placeholder="https://"),
        help_text=_("An address for both sides. Empty: none."),
    )
    first_day = forms.DateField(
        label=_("First day"),
        required=False,
        widget=forms.DateInput(attrs=_DATE, format="%Y-%m-%d"),
        help_text=_("Empty: from the moment that you agree, in place of what is agreed now."),
    )
    last_day = forms.DateField(
        label=_("Last day"),
        required=False,
        widget=forms.DateInput(attrs=_DATE, format="%Y-%m-%d"),
        help_text=_("As it ends, the tier's values are in force again. Empty: it has no end."),
    )
    rate_card = forms.ChoiceField(
        label=_("Price list"), required=False, widget=forms.Select(attrs={"class": "form-select"})
    )
    cap = forms.ChoiceField(
        label=_("Cap a month"), choices=_CAPS, initial="tier", widget=forms.Select(attrs={"class": "form-select"})
    )
    cap_amount = LimitAmountField(
        label=_("That amount in euros"), required=False, widget=_control(inputmode="decimal"), initial=""
    )
    models = forms.MultipleChoiceField(
        label=_("Models besides those that it sees anyway"),
        required=False,
        widget=forms.SelectMultiple(attrs={"class": "form-select", "size": 5}),
        help_text=_("Of those shown to chosen organisations. It sees them from the first day to the last."),
    )
    availability = ShareField(
        label=_("Promised availability in percent"),
        required=False,
        widget=_control(inputmode="decimal", placeholder="99.9"),
    )
    support_class = forms.CharField(
        label=_("Support class"), required=False, max_length=SUPPORT_LENGTH_MAX, widget=_control()
    )

    def __init__(self, data: Any = None, *, tier: Tier, now: Dated | None = None) -> None:
        super().__init__(data, initial=_initial(now))
        card = self.fields["rate_card"]
        assert isinstance(card, forms.ChoiceField)
        names = RateCard.objects.order_by("name").values_list("name", flat=True)
        card.choices = [("", _("That of the tier")), *((name, name) for name in names)]
        models = self.fields["models"]
        assert isinstance(models, forms.MultipleChoiceField)
        known = dict.fromkeys([*models_to_agree_on().values_list("name", flat=True), *(now.models if now else ())])
        models.choices = [(name, name) for name in known]
        of_tier = {(limit["what"], limit["window"]): limit["amount"] for limit in tier.limits}
        for what, window in limit_kinds():
            shown = str(of_tier.get((what, window), "–"))
            self.fields[f"{what}_{window}"] = OwnLimitField(
                label=words_of_what(what, window),
                required=False,
                widget=_control(inputmode="text", placeholder=shown),
            )

    @property
    def paper(self) -> list[forms.BoundField]:
        """What it is called and how long it counts."""
        return [self[name] for name in ("reference", "document_url", "first_day", "last_day")]

    @property
    def values(self) -> list[forms.BoundField]:
        """What else is agreed, besides the limits."""
        return [self[name] for name in ("rate_card", "cap", "cap_amount", "models", "availability", "support_class")]

    @property
    def limit_rows(self) -> list[tuple[Promise, list[forms.BoundField]]]:
        """What is counted, and its field a window."""
        return limit_grid(self)

    @property
    def at_once(self) -> forms.BoundField:
        """How many requests may be under way together."""
        return self[AT_ONCE]

    def clean(self) -> dict[str, Any]:
        """Another amount is one."""
        given = super().clean() or {}
        if given.get("cap") == "own" and given.get("cap_amount") == "" and "cap_amount" not in self.errors:
            self.add_error("cap_amount", _("Give the amount, or choose another cap above."))
        return given

    @property
    def wish(self) -> AgreementWish:
        """What was typed."""
        given = self.cleaned_data
        return AgreementWish(
            first_day=given["first_day"],
            last_day=given["last_day"],
            rate_card=given["rate_card"],
            is_cap_agreed=given["cap"] != "tier",
            monthly_cap_nano_eur=given["cap_amount"] if given["cap"] == "own" else None,
            limits=list(self._limits()),
            models=given["models"],
            availability_millionths=given["availability"],
            support_class=given["support_class"],
            reference=given["reference"],
            document_url=given["document_url"],
        )

    def _limits(self) -> Iterator[dict[str, Any]]:
        for what, window in limit_kinds():
            amount = self.cleaned_data[f"{what}_{window}"]
            if amount != "":
                yield {"what": what, "window": window, "amount": None if amount == NONE else amount}


def _initial(now: Dated | None) -> dict[str, Any]:
    if now is None:
        return {}
    agreement = now.agreement
    cap = ("none" if agreement.monthly_cap_nano_eur is None else "own") if agreement.is_cap_agreed else "tier"
    limits = {
        f"{one['what']}_{one['window']}": NONE if one["amount"] is None else one["amount"] for one in agreement.limits
    }
    return limits | {
        "reference": agreement.reference,
        "document_url": agreement.document_url,
        "first_day": now.first_day if now.is_planned else None,
        "last_day": now.last_day,
        "rate_card": agreement.rate_card.name if agreement.rate_card else "",
        "cap": cap,
        "cap_amount": agreement.monthly_cap_nano_eur if cap == "own" else "",
        "models": list(now.models),
        "availability": agreement.availability_millionths,
        "support_class": agreement.support_class,
    }


class TermForm(forms.Form):
    """A discount or a fixed line. Which fields count depends on the kind."""

    kind = forms.ChoiceField(label=_("What"), choices=Kind.choices, widget=forms.Select(attrs={"class": "form-select"}))
    description = forms.CharField(
        label=_("Its name on the bill"),
        required=False,
        max_length=DESCRIPTION_LENGTH_MAX,
        widget=_control(),
        help_text=_("Of a fee and a service what they are for; of a discount as you like."),
    )
    first_month = MonthField(label=_("First month"), widget=forms.TextInput(attrs=_MONTH))
    last_month = MonthField(
        label=_("Last month"),
        required=False,
        widget=forms.TextInput(attrs=_MONTH),
        help_text=_("Empty: it has no end. A commitment needs one; a service is charged in its first month only."),
    )
    amount = AmountField(
        label=_("Amount in euros"),
        required=False,
        widget=_control(inputmode="decimal"),
        help_text=_("Of a fee, a service, or what is committed to a month."),
    )
    share = ShareField(
        label=_("Percent"),
        required=False,
        widget=_control(inputmode="decimal"),
        help_text=_(
            "Of a discount, or what a commitment gives in exchange. It is taken off what is left of the usage."
        ),
    )
    steps = forms.CharField(
        label=pgettext_lazy("of volume", "Steps"),
        required=False,
        widget=forms.Textarea(
            attrs={"class": "form-control font-monospace", "rows": 3, "placeholder": "1000 5\n5000 10"}
        ),
        help_text=_(
            "Of a discount by volume: a line each, from how many euros a month on, and the percent above that."
        ),
    )

    def clean_steps(self) -> list[dict[str, int]]:
        """As the verb takes them. Raises ValidationError for a line that is none."""
        lines = [line.split() for line in self.cleaned_data["steps"].splitlines() if line.strip()]
        if len(lines) > STEPS_MAX:
            raise ValidationError(_("At most %(count)s."), params={"count": STEPS_MAX})
        return [_step(number, parts) for number, parts in enumerate(lines, 1)]

    @property
    def wish(self) -> TermWish:
        """What was typed, of what the kind takes."""
        given = self.cleaned_data
        return TermWish(
            kind=given["kind"],
            first_month=given["first_month"],
            last_month=given["last_month"],
            description=given["description"],
            amount_nano_eur=None if given["amount"] == "" else given["amount"],
            share_millionths=given["share"],
            steps=given["steps"],
        )


def _step(number: int, parts: list[str]) -> dict[str, int]:
    try:
        above, percent = parts
        euros = AmountField().clean(above)
        return {"above_nano_eur": euros, "share_millionths": parse_percent(percent)}
    except (ValueError, ValidationError):
        words = _("Line %(number)s: write an amount and a percentage, such as “1000 5”.")
        raise ValidationError(words, params={"number": number}) from None


class TermEndForm(forms.Form):
    """With which month a term ends."""

    last_month = MonthField(label=_("Last month"), widget=forms.TextInput(attrs=_MONTH))


class OwnPricesForm(forms.Form):
    """Prices of some models, as a table."""

    text = forms.CharField(
        label=_("Prices in euros for a million units"),
        max_length=100_000,
        widget=forms.Textarea(attrs={"class": "form-control font-monospace", "rows": 6, "spellcheck": "false"}),
        help_text=_("A heading, then a model a line, with all its prices. They count from now, with what is agreed."),
    )
    reason = reason_field()
