"""What an operator types of a tier, and of an organisation that there is. The verbs decide."""

from collections.abc import Iterable, Iterator
from typing import Any

from django import forms
from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.contracts.tier_changes import DESCRIPTION_LENGTH_MAX, NAME_LENGTH_MAX, TierWish
from billing.contracts.tiers import all_tiers
from billing.limits.limits import HIGHEST_AMOUNT
from billing.models import Contract, Limit, RateCard, Tier
from console.limit_words import words_of_what
from console.project_forms import AmountField, LimitAmountField
from console.time_zones import time_zone_choices
from identity.wording import NAME_LENGTH_MAX as TENANT_NAME_LENGTH_MAX

What, Window = Limit.What, Limit.Window
_WINDOWS = (Window.MINUTE, Window.HOUR, Window.DAY, Window.MONTH)
_COUNTED: dict[str, Promise] = {
    What.REQUESTS: _("Requests"),
    What.TOKENS: _("Tokens"),
    What.OUTPUT_TOKENS: _("Output tokens"),
}
AT_ONCE = f"{What.CONCURRENT.value}_{Window.NONE.value}"


def _control(**attributes: Any) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", **attributes})


class TierForm(forms.Form):
    """A tier: all that contracts begin with."""

    code = forms.CharField(
        label=_("Code"),
        max_length=32,
        widget=_control(spellcheck="false"),
        help_text=_("What scripts and imports call it: lower case, digits and hyphens. It cannot be changed."),
    )
    name = forms.CharField(label=_("Name"), max_length=NAME_LENGTH_MAX, widget=_control())
    description = forms.CharField(
        label=_("Description"),
        max_length=DESCRIPTION_LENGTH_MAX,
        required=False,
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 2}),
        help_text=_("Whom it is for, for those who choose among tiers."),
    )
    cap = LimitAmountField(
        label=_("Cap a month in euros"),
        required=False,
        widget=_control(inputmode="decimal"),
        help_text=_("What an organisation may spend a month at most. Empty: no cap."),
    )
    prepaid = AmountField(
        label=_("Paid in advance: the least first top-up in euros"),
        required=False,
        widget=_control(inputmode="decimal"),
        help_text=_("Requests are then paid from credit. Empty: billed afterwards. Fixed once somebody has the tier."),
    )
    rate_card = forms.ChoiceField(
        label=_("Price list"), required=False, widget=forms.Select(attrs={"class": "form-select"})
    )
    by_agreement = forms.BooleanField(
        label=_("By agreement only"), required=False, widget=forms.CheckboxInput(attrs={"class": "form-check-input"})
    )

    def __init__(self, data: Any = None, *, tier: Tier | None = None) -> None:
        super().__init__(data, initial=_initial(tier))
        self.tier = tier
        if tier is not None:
            del self.fields["code"]
        cards = RateCard.objects.filter(is_reference=False).order_by("name").values_list("name", flat=True)
        card = self.fields["rate_card"]
        assert isinstance(card, forms.ChoiceField)
        card.choices = [("", _("The reference prices")), *((name, name) for name in cards)]
        for what, window in limit_kinds():
            self.fields[f"{what}_{window}"] = forms.IntegerField(
                label=words_of_what(what, window),
                required=False,
                min_value=0,
                max_value=HIGHEST_AMOUNT,
                widget=forms.NumberInput(attrs={"class": "form-control number", "placeholder": "–"}),
            )

    @property
    def main(self) -> list[forms.BoundField]:
        """The fields besides the limits."""
        limits = {f"{what}_{window}" for what, window in limit_kinds()}
        return [field for field in self if field.name not in limits]

    @property
    def limit_rows(self) -> list[tuple[Promise, list[forms.BoundField]]]:
        """What is counted, and its field a window."""
        return limit_grid(self)

    @property
    def at_once(self) -> forms.BoundField:
        """How many requests may be under way together."""
        return self[AT_ONCE]

    @property
    def wish(self) -> TierWish:
        """What was typed."""
        given = self.cleaned_data
        limits = [
            {"what": what, "window": window, "amount": given[f"{what}_{window}"]}
            for what, window in limit_kinds()
            if given[f"{what}_{window}"] is not None
        ]
        return TierWish(
            name=given["name"],
            description=given["description"],
            monthly_cap_nano_eur=None if given["cap"] == "" else given["cap"],
            prepaid_nano_eur=None if given["prepaid"] == "" else given["prepaid"],
            limits=limits,
            rate_card=given["rate_card"],
            by_agreement=given["by_agreement"],
            is_offered=self.tier is None or self.tier.withdrawn_at is None,
        )


class DetailsForm(forms.Form):
    """What an organisation is called, and where its days begin."""

    name = forms.CharField(label=_("Name"), max_length=TENANT_NAME_LENGTH_MAX, widget=_control())
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=time_zone_choices,
        widget=forms.Select(attrs={"class": "form-select"}),
        help_text=_("A budget period that runs ends when it was going to; the next one ends by the new time zone."),
    )
    external_id = forms.CharField(
        label=_("External id"),
        required=False,
        max_length=128,
        widget=_control(spellcheck="false"),
        help_text=_("What your own systems call it. A script that knows the id of before finds it no more."),
    )


class ContractForm(forms.Form):
    """Which contract an organisation is to have."""

    tier = forms.ChoiceField(label=_("Tier"), widget=forms.Select(attrs={"class": "form-select"}))
    rate_card = forms.ChoiceField(
        label=_("Price list"), required=False, widget=forms.Select(attrs={"class": "form-select"})
    )

    def __init__(self, data: Any, *, running: Contract | None) -> None:
        code = running.tier.code if running else ""
        super().__init__(data, initial={"tier": code})
        offered = all_tiers().select_related("rate_card").filter(Q(withdrawn_at=None) | Q(code=code))
        self.tiers = {tier.code: tier for tier in offered.order_by("by_agreement", "id")}
        self.cards = {card.name: card for card in RateCard.objects.order_by("name")}
        tiers = [(tier.code, tier.name) for tier in self.tiers.values()]
        for name, choices in (("tier", tiers), ("rate_card", [("", _("That of the tier")), *_named(self.cards)])):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = choices

    @property
    def chosen(self) -> tuple[Tier, RateCard | None]:
        """As the verbs take it."""
        return self.tiers[self.cleaned_data["tier"]], self.cards.get(self.cleaned_data["rate_card"])


def limit_grid(form: forms.Form) -> list[tuple[Promise, list[forms.BoundField]]]:
    """What is counted, and the form's field a window."""
    return [(word, [form[f"{what}_{window}"] for window in _WINDOWS]) for what, word in _COUNTED.items()]


def _named(names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, name) for name in names]


def limit_kinds() -> Iterator[tuple[str, str]]:
    """Every kind of limit that makes sense, what and window."""
    for what in _COUNTED:
        for window in _WINDOWS:
            yield what, window.value
    yield What.CONCURRENT.value, Window.NONE.value


def _initial(tier: Tier | None) -> dict[str, Any]:
    if tier is None:
        return {}
    return {
        "name": tier.name,
        "description": tier.description,
        "cap": tier.monthly_cap_nano_eur,
        "prepaid": tier.prepaid_nano_eur,
        "rate_card": tier.rate_card.name if tier.rate_card else "",
        "by_agreement": tier.by_agreement,
        **{f"{limit['what']}_{limit['window']}": limit["amount"] for limit in tier.limits},
    }
