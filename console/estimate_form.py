"""Estimates: how much of a model a day, and what that comes to a month."""

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.prices.estimates import MOST, Estimate, monthly_estimate, template_tokens
from billing.pricing import MissingPrice, Quantities
from console.offer import Offered
from models_catalog.models import LanguageModel

Kind = LanguageModel.Kind
# Name, label and example, by kind of model.
_FIELDS: dict[str, list[tuple[str, Promise, int]]] = {
    Kind.CHAT: [("input", _("Input tokens"), 1_000), ("output", _("Output tokens"), 500)],
    Kind.EMBEDDING: [("input", _("Input tokens"), 1_000)],
    Kind.RERANK: [("documents", _("Documents"), 20)],
    Kind.TRANSCRIPTION: [("minutes", _("Minutes of audio"), 10)],
    Kind.IMAGE: [("images", _("Images"), 1)],
}
REASONS = "reasoning"  # the capability
_REASONING = ("reasoning", _("Reasoning tokens"), 0)
_REQUESTS = ("requests", _("Requests a day"), 1_000)


class EstimateForm(forms.Form):
    """A request of a kind of model, as somebody imagines it. Without values it shows those of an example."""

    def __init__(self, kind: str, data: QueryDict, *, may_reason: bool) -> None:
        asked = [*_FIELDS[kind], *([_REASONING] if may_reason else []), _REQUESTS]
        given: dict[str, Any] = {name: data.get(name, example) for name, _label, example in asked}
        super().__init__(given, auto_id="estimate-%s")
        for name, label, _example in asked:
            widget = forms.NumberInput(attrs={"class": "form-control", "inputmode": "numeric"})
            self.fields[name] = forms.IntegerField(label=str(label), min_value=0, max_value=MOST, widget=widget)

    @property
    def tokens(self) -> int:
        """Of one request, in and out."""
        given = self.cleaned_data
        return int(given.get("input", 0) + given.get("output", 0) + given.get("reasoning", 0))

    def estimate(self, offered: Offered) -> Estimate | None:
        """What it comes to at a model. None where it has no price, or a field makes no sense (which the form says)."""
        prices = offered.prices
        if prices is None or not self.is_valid():
            return None
        given = self.cleaned_data
        quantities = Quantities(
            input=given.get("input", 0) + template_tokens(offered.model),
            output=given.get("output", 0),
            reasoning=given.get("reasoning", 0) if REASONS in offered.model.capabilities else 0,
            audio_ms=given.get("minutes", 0) * 60_000,
            documents=given.get("documents", 0),
            images=given.get("images", 0),
        )
        try:
            return monthly_estimate(quantities=quantities, requests_a_day=given["requests"], prices=prices)
        except MissingPrice:
            return None
