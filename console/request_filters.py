"""What the page of requests looks for, from its address: everything optional, nonsense told at its field."""

import base64
import re
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.core.cache import cache
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from billing.prices.visibility import visible_models
from billing.usage.activity import Kind, Place, Wanted
from billing.usage.records import Filters
from billing.usage.span import Days, Hours, Span, month_of_days
from console import formats
from console.request_words import REFUSALS, STATUSES
from identity import access
from identity.access import Caller
from identity.errors import NotFound
from identity.key_format import PREFIX
from identity.models import Project
from identity.permissions import Permission

# More projects than these are chosen on their own pages.
PROJECTS_SHOWN = 200
_MODEL_NAMES_AGE_S = 60
_NAME_LENGTH_MAX = 200
PERIODS = {"1": _("24 hours"), "7": _("7 days"), "30": _("30 days"), "90": _("90 days")}
USUAL_PERIOD = "7"
_HOUR = re.compile(r"20[2-9][0-9]-[0-9]{2}-[0-9]{2}T[0-9]{2}Z")
_DAY = re.compile(r"20[2-9][0-9]-[0-9]{2}-[0-9]{2}")
_MONTH = re.compile(r"20[2-9][0-9]-[0-9]{2}")
# The codes that people can do something about; each line of the list leads to the others of its code.
_COMMON_CODES = (
    "insufficient_quota", "rate_limit_exceeded", "model_not_allowed", "model_not_found", "model_retired",
    "context_length_exceeded", "no_replica", "overloaded", "ip_not_allowed",
)  # fmt: skip
_NOT_COMPLETED = [status for status in STATUSES if status != "completed"]


class RequestFilter(forms.Form):
    """The filters above the list. Empty is everything."""

    ended = forms.ChoiceField(label=_("Ended"), required=False)
    model = forms.ChoiceField(label=_("Model"), required=False)
    project = forms.ModelChoiceField(
        label=_("Project"), required=False, queryset=Project.objects.none(), empty_label=_("All projects")
    )
    key = forms.CharField(label=_("Key"), required=False, max_length=80)
    label = forms.CharField(label=_("Label"), required=False, max_length=64)
    days = forms.ChoiceField(label=_("Period"), required=False, choices=list(PERIODS.items()))

    def __init__(self, query: QueryDict, caller: Caller) -> None:
        given = query.copy()
        given.setdefault("days", USUAL_PERIOD)
        super().__init__(given, auto_id="filter-%s")
        self._caller = caller
        self._span = _span(str(given["days"]), caller.tenant.time_zone)
        if self._span:
            self.fields["days"].choices = [(given["days"], _words(self._span)), *PERIODS.items()]  # type: ignore[attr-defined]
        self.fields["ended"].choices = _endings(given.get("ended", ""))  # type: ignore[attr-defined]
        # A model that is not offered any more is asked for by name: its requests are still there.
        names = dict.fromkeys([*_model_names(caller), str(given.get("model", ""))[:_NAME_LENGTH_MAX]])
        self.fields["model"].choices = [("", _("All models")), *((name, name) for name in names if name)]  # type: ignore[attr-defined]
        self.projects = list(access.projects_for(caller)[:PROJECTS_SHOWN])
        self.fields["project"].choices = [("", _("All projects")), *((one.pk, one.name) for one in self.projects)]  # type: ignore[attr-defined]
        self.fields["project"].queryset = access.projects_for(caller)  # type: ignore[attr-defined]
        for field in self.fields.values():
            is_list = isinstance(field, forms.ChoiceField)
            field.widget.attrs["class"] = "form-select" if is_list else "form-control"
        self.fields["key"].widget.attrs |= {"placeholder": "bfr_…", "spellcheck": "false", "autocomplete": "off"}

    def clean_key(self) -> int | None:
        """The key's id; people paste a whole prefix, or what the list of keys shows."""
        text = self.cleaned_data["key"].strip().removeprefix(PREFIX).partition("_")[0].rstrip("…")
        if not text:
            return None
        try:
            return access.key_for(self._caller, text, Permission.USAGE_READ).pk
        except NotFound:
            raise forms.ValidationError(_("There is no such key.")) from None

    def wanted(self, now: datetime) -> Wanted | None:
        """What to look for; None where a field makes no sense."""
        if not self.is_valid():
            return None
        given: dict[str, Any] = self.cleaned_data
        what, _colon, name = given["ended"].partition(":")
        if self._span:
            since, until = self._span.bounds()
        else:
            since, until = now - timedelta(days=int(given["days"] or USUAL_PERIOD)), None
        return Wanted(
            Filters(
                since=since,
                until=until,
                model=given["model"],
                key_id=given["key"],
                label=given["label"],
                project_id=given["project"].pk if given["project"] else None,
                status=name if what == "status" else "",
            ),
            kind=Kind(what) if what in tuple(Kind) else Kind.ALL,
            code=name if what == "code" else "",
        )


def text_of_place(place: Place) -> str:
    """The place in a form that fits an address."""
    return base64.urlsafe_b64encode(f"{place.at.isoformat()}/{place.request_id}".encode()).decode().rstrip("=")


def place_of_text(text: str) -> Place | None:
    """The place that `text_of_place` wrote; None for anything else."""
    try:
        at, _slash, request_id = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").partition("/")
        place = Place(datetime.fromisoformat(at), UUID(request_id))
    except (ValueError, OverflowError):
        return None
    return place if place.at.tzinfo is not None else None


def _span(text: str, time_zone: str) -> Span | None:
    """A month, a day or an hour (UTC) by its ISO 8601 name, to which the bars of other pages lead; None for no such."""
    try:
        if _HOUR.fullmatch(text):
            return Hours(datetime.fromisoformat(f"{text[:-1]}:00+00:00"), 1)
        if _DAY.fullmatch(text):
            return Days(date.fromisoformat(text), date.fromisoformat(text), time_zone)
        if _MONTH.fullmatch(text):
            return month_of_days(date.fromisoformat(f"{text}-01"), time_zone)
    except ValueError:
        return None
    return None


def _words(span: Span) -> str:
    language = get_language() or "en"
    if isinstance(span, Hours):
        return formats.moment(timezone.localtime(span.since), language)
    return formats.day(span.first, language) if span.first == span.last else formats.month(span.first, language)


def _endings(present: str) -> list[Any]:
    codes = dict.fromkeys(_COMMON_CODES)
    kind, _colon, code = present.partition(":")
    if kind == "code" and code in REFUSALS:
        codes[code] = None
    return [
        ("", _("In any way")),
        (Kind.TROUBLE.value, _("Did not complete")),
        (Kind.REFUSED.value, _("Refused")),
        (_("Did not complete"), [(f"status:{status}", STATUSES[status].title) for status in _NOT_COMPLETED]),
        (_("Refused"), [(f"code:{code}", REFUSALS[code].title) for code in codes]),
    ]


def _model_names(caller: Caller) -> list[str]:
    """Of all models that the tenant sees, kept for a minute."""
    kept_as = f"model-names:{caller.tenant.pk}"
    names: list[str] | None = cache.get(kept_as)
    if names is None:
        names = list(visible_models(caller.tenant).order_by("name").values_list("name", flat=True))
        cache.set(kept_as, names, _MODEL_NAMES_AGE_S)
    return names
