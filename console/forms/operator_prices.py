"""What an operator types of price lists. The verbs decide."""

from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from billing.models import RateCard
from billing.models.prices import Mode
from billing.money import NotAnAmount
from billing.prices.changes import PriceWish
from billing.prices.price_lists import NAME_LENGTH_MAX, ONCE, parse_factor
from console.forms.operator_models import PriceForm, reason_field
from console.forms.operator_tenants import LinesForm
from console.time_zones import time_zone_choices
from models_catalog.models import LanguageModel

LISTS_TO_COPY_MAX = 200  # an installation has a dozen


def _control(**attributes: Any) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", **attributes})


class PriceListForm(forms.Form):
    """A new price list."""

    name = forms.CharField(
        label=_("Name"),
        max_length=NAME_LENGTH_MAX,
        widget=_control(),
        help_text=_("Organisations see it beside their prices. It cannot be changed."),
    )
    copy_of = forms.ChoiceField(
        label=_("Begin with the prices of"), required=False, widget=forms.Select(attrs={"class": "form-select"})
    )
    factor = forms.CharField(
        label=_("Each times"),
        required=False,
        max_length=12,
        widget=_control(inputmode="decimal", placeholder="1"),
        help_text=_("0.9 makes each price a tenth lower, 1.2 a fifth higher. Empty: the same prices."),
    )

    def __init__(self, data: Any, *, copied: str = "") -> None:
        super().__init__(data, initial={"copy_of": copied})
        found = RateCard.objects.order_by("-is_reference", "name")[:LISTS_TO_COPY_MAX]
        self._cards = {str(card.pk): card for card in found}
        choices = [(key, card.name) for key, card in self._cards.items()]
        copy_of = self.fields["copy_of"]
        assert isinstance(copy_of, forms.ChoiceField)
        copy_of.choices = [("", _("None: an empty list")), *choices]

    def clean_factor(self) -> int:
        """In millionths. Raises `ValidationError`."""
        text = self.cleaned_data["factor"].strip()
        try:
            return parse_factor(text) if text else ONCE
        except NotAnAmount:
            raise ValidationError(_("Write a number such as 0.9.")) from None

    @property
    def card(self) -> RateCard | None:
        """The list to copy."""
        return self._cards.get(self.cleaned_data["copy_of"])


def _zone() -> forms.ChoiceField:
    return forms.ChoiceField(
        label=_("Midnight in"),
        choices=time_zone_choices,
        initial="Europe/Paris",
        widget=forms.Select(attrs={"class": "form-select"}),
    )


class PriceFileForm(LinesForm):
    """Prices as a table."""

    time_zone = _zone()
    reason = reason_field()

    @property
    def zone(self) -> ZoneInfo:
        """Where the days of the table begin."""
        return ZoneInfo(self.cleaned_data["time_zone"])


class PriceChangeForm(PriceForm):
    """What a model is to cost in a mode on a list, and from when."""

    def __init__(
        self, data: Any, *, model: LanguageModel, mode: str, known: dict[str, int], by_started_minute: bool
    ) -> None:
        super().__init__(data, kind=model.kind, known=known, by_started_minute=by_started_minute)
        self._model, self._mode = model, mode
        self.fields["starts_on"] = forms.DateField(
            label=_("From midnight of"),
            required=False,
            widget=forms.DateInput(attrs={"class": "form-control", "type": "date"}, format="%Y-%m-%d"),
            help_text=_("Empty: from now on."),
        )
        self.fields["time_zone"] = _zone()
        if known:
            self.order_fields([*self.meters, "audio_by_started_minute", "starts_on", "time_zone", "reason"])

    @property
    def wish(self) -> PriceWish:
        """What was typed."""
        day = self.cleaned_data["starts_on"]
        zone = ZoneInfo(self.cleaned_data["time_zone"])
        starts = datetime.combine(day, time(), zone) if day else None
        return PriceWish(
            self._model.name,
            self.prices,
            mode=self._mode,
            valid_from=starts,
            audio_by_started_minute=self.by_started_minute,
        )


def mode_of(text: str | None) -> str:
    """The mode that an address or a form names; the standard one otherwise."""
    return text if text in Mode.values else Mode.STANDARD.value
