"""The estimate on a model's page: how much of it a day, and what that comes to a month."""

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.estimates import MOST, Estimate, monthly_estimate, template_tokens
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
_REASONING = ("reasoning", _("Reasoning tokens"), 0)
_REQUESTS = ("requests", _("Requests a day"), 1_000)


class EstimateForm(forms.Form):
    """A request as somebody imagines it. Without values it shows those of an example."""

    def __init__(self, offered: Offered, data: QueryDict) -> None:
        self._offered = offered
        asked = [*_FIELDS[offered.model.kind]]
        if "reasoning" in offered.model.capabilities:
            asked.append(_REASONING)
        asked.append(_REQUESTS)
        given: dict[str, Any] = {name: data.get(name, example) for name, _label, example in asked}
        super().__init__(given, auto_id="estimate-%s")
        for name, label, _example in asked:
            widget = forms.NumberInput(attrs={"class": "form-control", "inputmode": "numeric"})
            self.fields[name] = forms.IntegerField(label=str(label), min_value=0, max_value=MOST, widget=widget)

    @property
    def template_tokens(self) -> int:
        """The most that the model's template adds to a request of one message; 0 where it has none."""
        return template_tokens(self._offered.model)

    def estimate(self) -> Estimate | None:
        """None where there is no price, or a field makes no sense (which the form then says)."""
        prices = self._offered.prices
        if prices is None or not self.is_valid():
            return None
        given = self.cleaned_data
        quantities = Quantities(
            input=given.get("input", 0) + self.template_tokens,
            output=given.get("output", 0),
            reasoning=given.get("reasoning", 0),
            audio_ms=given.get("minutes", 0) * 60_000,
            documents=given.get("documents", 0),
            images=given.get("images", 0),
        )
        try:
            return monthly_estimate(quantities=quantities, requests_a_day=given["requests"], prices=prices)
        except MissingPrice:
            return None
