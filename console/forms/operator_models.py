"""The forms of the operator's models: an engine's address, an entry, a price, who sees it, its end."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import Q
from django.http import QueryDict
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from billing.contracts.tiers import all_tiers
from billing.money import NotAnAmount, parse_typed_eur, typed_eur
from billing.prices.changes import REASON_LENGTH_MAX
from billing.prices.price_book import HIGHEST_PRICE
from billing.prices.visibility import AUDIENCE_MAX, Audience, audience_of
from console.catalog_words import meter_word, short_unit_of
from console.templatetags.console import plain_money
from gateway.pools.publishing import earliest_end
from gateway.pools.targets import Targets
from identity.models import Tenant
from identity.name_order import by_name
from models_catalog.entries import CHANGEABLE
from models_catalog.models import LanguageModel

Visibility = LanguageModel.Visibility
TENANTS_FOUND = 25  # organisations that a search shows, besides those that are chosen
_TICK = {"class": "form-check-input"}
# What is paid of each kind of model; of a chat, reasoning costs as output where nothing is said.
METERS_OF_KIND: dict[str, tuple[str, ...]] = {
    LanguageModel.Kind.CHAT: ("input", "cached", "output", "reasoning"),
    LanguageModel.Kind.EMBEDDING: ("input",),
    LanguageModel.Kind.RERANK: ("documents",),
    LanguageModel.Kind.TRANSCRIPTION: ("audio_ms",),
    LanguageModel.Kind.IMAGE: ("images",),
}
_OPTIONAL = ("cached", "reasoning")


def _text(**attributes: str) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", **attributes})


class EngineForm(forms.Form):
    """Where an engine is, and its key."""

    url = forms.CharField(
        label=_("Address of the engine"),
        max_length=300,
        widget=_text(placeholder="http://gpu-1:8000", inputmode="url", spellcheck="false"),
        help_text=_("Scheme, host and port of a server that speaks OpenAI's API, such as vLLM's."),
    )
    api_key = forms.CharField(
        label=_("Key of the engine"),
        max_length=500,
        required=False,
        widget=forms.PasswordInput(attrs={"class": "form-control", "autocomplete": "off"}),
        help_text=_("What it was started with (--api-key). Empty: it asks for none. It is stored encrypted."),
    )


class ServedForm(EngineForm):
    """An engine of a model that there is already."""

    served_name = forms.CharField(
        label=_("The engine's name for the model"),
        max_length=200,
        required=False,
        widget=_text(spellcheck="false"),
        help_text=_("Empty: the model's own."),
    )


class PlacesForm(forms.Form):
    """How many requests the engines of a pool get at once."""

    requests_at_once = forms.IntegerField(
        label=_("Requests at once, to each engine"),
        min_value=1,
        required=False,
        widget=_text(inputmode="numeric", placeholder="256"),
        help_text=_("What the engine itself works on at once (vLLM: max-num-seqs). Empty: as many as come."),
    )


class EntryForm(forms.Form):
    """Which of what an engine serves, and which entry of the catalogue that is."""

    served_name = forms.ChoiceField(label=_("Model of the engine"), widget=forms.RadioSelect(attrs=_TICK))
    entry = forms.ChoiceField(
        label=_("Entry of the catalogue"),
        required=False,
        widget=forms.Select(attrs={"class": "form-select"}),
        help_text=_("What organisations read about the model. A new entry takes sizes from the engine."),
    )
    name = forms.CharField(
        label=_("Id of the new entry"),
        max_length=200,
        required=False,
        widget=_text(spellcheck="false"),
        help_text=_("What clients send as model. Empty: the engine's name."),
    )
    title = forms.CharField(label=_("Title of the new entry"), max_length=200, required=False, widget=_text())

    def __init__(self, data: Any, *, served: Iterable[str], entries: Iterable[LanguageModel], **options: Any) -> None:
        super().__init__(data, **options)
        self.fields["served_name"].choices = [(name, name) for name in served]  # type: ignore[attr-defined]
        self.fields["entry"].choices = [  # type: ignore[attr-defined]
            ("", _("A new entry")),
            *((str(one.pk), one.name) for one in entries),
        ]


def reason_field() -> forms.CharField:
    """Why prices change."""
    return forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=REASON_LENGTH_MAX,
        widget=_text(),
        help_text=_("Where a price rises sooner than the billing settings allow. Kept with the price, for operators."),
    )


class PriceForm(forms.Form):
    """Prices in euros per million units, by meter."""

    def __init__(self, data: Any, *, kind: str, known: dict[str, int], by_started_minute: bool = False) -> None:
        super().__init__(data)
        self.meters = METERS_OF_KIND.get(kind, ("input", "output"))
        for meter in self.meters:
            nano = known.get(meter)
            self.fields[meter] = forms.CharField(
                label=_("{meter} (euros / {unit})").format(meter=meter_word(meter), unit=short_unit_of(meter)),
                max_length=20,
                required=meter not in _OPTIONAL,
                initial="" if nano is None else typed_eur(nano, get_language() or "en"),
                widget=_text(inputmode="decimal"),
                help_text=_("Empty: as input.")
                if meter == "cached"
                else _("Empty: as output.")
                if meter == "reasoning"
                else "",
            )
        if "audio_ms" in self.meters:
            self.fields["audio_by_started_minute"] = forms.BooleanField(
                label=_("Bill audio by started minute"),
                required=False,
                initial=by_started_minute,
                widget=forms.CheckboxInput(attrs=_TICK),
                help_text=_("Each request's audio counts as whole minutes, the last one begun. Otherwise: exact time."),
            )
        if known:
            self.fields["reason"] = reason_field()

    def clean(self) -> dict[str, Any]:
        """Each price an amount."""
        for meter in self.meters:
            text = str(self.cleaned_data.get(meter) or "").strip()
            if not text:
                continue
            try:
                nano = parse_typed_eur(text)
            except NotAnAmount:
                self.add_error(meter, _("Write an amount in euros, such as 0.90."))
                continue
            if 0 <= nano <= HIGHEST_PRICE:
                self.cleaned_data[meter] = nano
            else:
                highest = plain_money(HIGHEST_PRICE)
                self.add_error(meter, _("Write an amount from 0 to {highest}.").format(highest=highest))
        return self.cleaned_data

    @property
    def prices(self) -> dict[str, int]:
        """Nano-EUR per million units by meter."""
        return {meter: self.cleaned_data[meter] for meter in self.meters if self.cleaned_data[meter] not in ("", None)}

    @property
    def by_started_minute(self) -> bool:
        """Whether audio is to be billed so."""
        return bool(self.cleaned_data.get("audio_by_started_minute"))

    @property
    def reason(self) -> str:
        """What was typed, if anything was asked."""
        return str(self.cleaned_data.get("reason", ""))


class VisibilityForm(forms.Form):
    """Who sees a model."""

    visibility = forms.ChoiceField(
        label=_("Who sees it"),
        choices=[
            (Visibility.EVERYBODY.value, _("Everybody")),
            (Visibility.CHOSEN.value, _("The tiers and organisations below")),
            (Visibility.NOBODY.value, _("Nobody")),
        ],
        widget=forms.RadioSelect(attrs=_TICK),
    )
    tiers = forms.MultipleChoiceField(
        label=_("Tiers"), required=False, widget=forms.CheckboxSelectMultiple(attrs=_TICK)
    )
    tenants = forms.MultipleChoiceField(
        label=_("Organisations"),
        required=False,
        widget=forms.CheckboxSelectMultiple(attrs=_TICK),
    )

    q = forms.CharField(label=_("Find organisations"), required=False, max_length=100)

    def __init__(self, data: QueryDict | None, *, model: LanguageModel) -> None:
        now = audience_of(model)
        chosen = Visibility.EVERYBODY if model.published_at is None else now.visibility
        initial = {
            "visibility": chosen.value,
            "tiers": [str(one) for one in now.tiers],
            "tenants": [str(one) for one in now.tenants],
        }
        super().__init__(data, initial=initial)
        tiers = all_tiers().filter(Q(withdrawn_at=None) | Q(pk__in=now.tiers)).order_by("name")
        sent = [int(one) for one in data.getlist("tenants") if one.isdecimal()][:AUDIENCE_MAX] if data else now.tenants
        tenants, self.others = _tenants_listed(sent, data.get("q", "") if data else "")
        self.fields["tiers"].choices = [(str(one.pk), one.name) for one in tiers]  # type: ignore[attr-defined]
        self.fields["tenants"].choices = [(str(one.pk), one.name) for one in tenants]  # type: ignore[attr-defined]

    @property
    def audience(self) -> Audience:
        """As the verbs take it."""
        given = self.cleaned_data
        return Audience(
            Visibility(given["visibility"]), tuple(map(int, given["tiers"])), tuple(map(int, given["tenants"]))
        )


class DescriptionForm(forms.Form):
    """What an entry of the catalogue says. Sizes in tokens."""

    title = forms.CharField(label=_("Title"), max_length=200, widget=_text())
    publisher = forms.CharField(label=_("Publisher"), max_length=100, widget=_text())
    licence = forms.CharField(label=_("Licence"), max_length=100, widget=_text(), help_text=_("Such as Apache-2.0."))
    description = forms.CharField(
        label=_("Description"),
        required=False,
        max_length=2_000,
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 4}),
    )
    context_window = forms.IntegerField(
        label=_("Context window, in tokens"),
        min_value=1,
        widget=_text(inputmode="numeric"),
        help_text=_("No more than its engines take. A longer request is refused."),
    )
    default_max_output = forms.IntegerField(
        label=_("Output where a request names no limit, in tokens"),
        min_value=1,
        widget=_text(inputmode="numeric"),
        help_text=_("So much is reserved for such a request."),
    )

    def __init__(self, data: Any, *, model: LanguageModel) -> None:
        super().__init__(data, initial={name: getattr(model, name) for name in CHANGEABLE})


class TargetsForm(forms.Form):
    """What the operator aims at with a model."""

    target_answered = forms.DecimalField(
        label=_("Minutes that answer, in percent"),
        required=False,
        max_digits=5,
        decimal_places=2,
        localize=True,
        widget=_text(inputmode="decimal", placeholder="99.9"),
        help_text=_("Of the minutes that were probed in 24 hours. Empty: no target."),
    )
    target_first_token_ms = forms.IntegerField(
        label=_("First token, in milliseconds"),
        required=False,
        widget=_text(inputmode="numeric", placeholder="800"),
        help_text=_("95 of 100 probes have their first token within this time. Empty: no target."),
    )

    def __init__(self, data: Any, *, targets: Targets) -> None:
        percent = None if targets.answered is None else (Decimal(targets.answered) / 100).normalize()
        super().__init__(data, initial={"target_answered": percent, "target_first_token_ms": targets.first_token_ms})

    @property
    def targets(self) -> Targets:
        """What was typed."""
        percent = self.cleaned_data["target_answered"]
        answered = None if percent is None else int(percent * 100)
        return Targets(answered, self.cleaned_data["target_first_token_ms"])


class EndForm(forms.Form):
    """When a model ends, and what takes its place."""

    ends_on = forms.DateField(
        label=_("It ends on"),
        widget=forms.DateInput(attrs={"class": "form-control", "type": "date"}),
        help_text=_("Requests are refused from this day on, at midnight UTC. Three months' notice at least."),
    )
    successor = forms.ChoiceField(
        label=_("What takes its place"), required=False, widget=forms.Select(attrs={"class": "form-select"})
    )

    def __init__(self, data: Any, *, model: LanguageModel, others: Iterable[LanguageModel]) -> None:
        initial: dict[str, date | str] = {
            "ends_on": model.retired_on or earliest_end(),
            "successor": str(model.successor_id or ""),
        }
        super().__init__(data, initial=initial)
        self.fields["successor"].choices = [  # type: ignore[attr-defined]
            ("", _("None")),
            *((str(one.pk), one.name) for one in others),
        ]


def _tenants_listed(chosen: Iterable[int], text: str) -> tuple[list[Tenant], bool]:
    """Those that are chosen, then up to `TENANTS_FOUND` others with the text in name or id; whether there are more."""
    clients = Tenant.objects.filter(is_platform=False, closed_at=None).order_by(by_name(), "pk")
    ticked = list(clients.filter(pk__in=chosen))
    words = str(text).strip()
    fits = Q(name__icontains=words) | Q(slug__icontains=words) | Q(external_id__icontains=words)
    found = list(clients.filter(fits).exclude(pk__in=[one.pk for one in ticked])[: TENANTS_FOUND + 1])
    return ticked + found[:TENANTS_FOUND], len(found) > TENANTS_FOUND
