"""What somebody asks to have as a file."""

from datetime import date, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from billing.exports.exports import MODEL_LENGTH_MAX, Wanted, permission_for
from billing.exports.of_all import KINDS_OF_ALL
from billing.models import Export
from identity.access import Caller, projects_for

KINDS = {
    Export.Kind.DAYS: _("Sums a day"),
    Export.Kind.REQUESTS: _("Every request"),
    Export.Kind.LEDGER: _("Ledger entries"),
    Export.Kind.FOCUS: _("FOCUS cost and usage"),
}
SAID = {
    Export.Kind.DAYS: _("A row a day, project, key and model: requests, tokens and cost."),
    Export.Kind.REQUESTS: _("A row a request with its tokens, prices and exact cost. Never what it said."),
    Export.Kind.LEDGER: _("Refunds, corrections, fees and top-ups."),
    Export.Kind.FOCUS: _("Costs in the form that FinOps tools read (FOCUS 1.2)."),
}
FORMATS = {
    Export.Format.XLSX: _("Excel (XLSX)"),
    Export.Format.CSV: _("CSV"),
    Export.Format.JSONL: _("JSON Lines"),
    Export.Format.PARQUET: _("Parquet"),
}
# Of all organisations.
SAID_OF_ALL = {
    Export.Kind.DAYS: _("A row an organisation, day, project, key and model: requests, tokens and cost."),
    Export.Kind.LEDGER: _("Refunds, corrections, fees and top-ups of every organisation."),
    Export.Kind.FOCUS: _("Costs in the form that FinOps tools read (FOCUS 1.2): an organisation is a billing account."),
}
KINDS_SAID_OF_ALL: list[tuple[str, Any]] = [(kind.value, KINDS[kind]) for kind in KINDS_OF_ALL]
_DATE = {"class": "form-control", "type": "date"}
_SELECT = {"class": "form-select"}
_TEXT = {"class": "form-control", "autocomplete": "off", "spellcheck": "false"}


def kinds_for(caller: Caller) -> list[tuple[str, Any]]:
    """What the caller may have as a file."""
    return [(kind.value, said) for kind, said in KINDS.items() if caller.may(permission_for(kind))]


class ScheduleForm(forms.Form):
    """What to make of every month."""

    kind = forms.ChoiceField(label=_("Rows"), widget=forms.Select(attrs=_SELECT))
    format = forms.ChoiceField(label=_("File"), choices=[*FORMATS.items()], widget=forms.Select(attrs=_SELECT))

    def __init__(self, data: Any, kinds: list[tuple[str, Any]]) -> None:
        super().__init__(data, prefix="monthly" if type(self) is ScheduleForm else None)
        self.fields["kind"].choices = kinds  # type: ignore[attr-defined]

    def chosen(self) -> tuple[Export.Kind, Export.Format]:
        """What a valid form asks for."""
        return Export.Kind(self.cleaned_data["kind"]), Export.Format(self.cleaned_data["format"])


class DaysForm(forms.Form):
    """From one day to another; last month, unless told otherwise."""

    first_day = forms.DateField(
        label=pgettext_lazy("first day", "From"), widget=forms.DateInput(attrs=_DATE, format="%Y-%m-%d")
    )
    last_day = forms.DateField(
        label=_("To"),
        widget=forms.DateInput(attrs=_DATE, format="%Y-%m-%d"),
        help_text=_("This day belongs to it. Days are those of the organisation's time zone."),
    )

    def begin_with_last_month(self, today: date) -> None:
        """What stands in the form before anybody changes it."""
        last = today.replace(day=1) - timedelta(days=1)
        self.initial = {"first_day": last.replace(day=1), "last_day": last, "kind": "days", "format": "xlsx"}


class ExportForm(ScheduleForm, DaysForm):
    """A file of an organisation."""

    project = forms.ChoiceField(label=_("Project"), required=False, widget=forms.Select(attrs=_SELECT))
    key = forms.CharField(
        label=_("Key"),
        required=False,
        max_length=16,
        widget=forms.TextInput(attrs=_TEXT),
        help_text=_("The ten characters after bfr_."),
    )
    model = forms.CharField(
        label=_("Model"), required=False, max_length=MODEL_LENGTH_MAX, widget=forms.TextInput(attrs=_TEXT)
    )

    def __init__(self, data: Any, caller: Caller, today: date) -> None:
        super().__init__(data, kinds_for(caller))
        projects = [(str(project.pk), project.name) for project in projects_for(caller)]
        self.fields["project"].choices = [("", _("All projects")), *projects]  # type: ignore[attr-defined]
        self.begin_with_last_month(today)

    @property
    def is_narrowed(self) -> bool:
        """Whether something of the folded part was filled in."""
        return any(self[name].value() for name in ("project", "key", "model"))

    def wanted(self) -> Wanted:
        """What a valid form asks for."""
        given = self.cleaned_data
        return Wanted(
            kind=Export.Kind(given["kind"]),
            format=Export.Format(given["format"]),
            first_day=given["first_day"],
            last_day=given["last_day"],
            project_id=int(given["project"]) if given["project"] else None,
            key=given["key"].removeprefix("bfr_"),
            model=given["model"],
        )


class ExportOfAllForm(DaysForm):
    """A file of all organisations."""

    kind = forms.ChoiceField(label=_("Rows"), choices=KINDS_SAID_OF_ALL)
    format = forms.ChoiceField(label=_("File"), choices=[*FORMATS.items()], widget=forms.Select(attrs=_SELECT))

    def __init__(self, data: Any, today: date) -> None:
        super().__init__(data)
        self.fields["last_day"].help_text = _(
            "This day belongs to it. Days are those of each organisation's time zone."
        )
        self.begin_with_last_month(today)

    def wanted(self) -> dict[str, Any]:
        """What a valid form asks for."""
        given = self.cleaned_data
        days = {"first_day": given["first_day"], "last_day": given["last_day"]}
        return {"content": Export.Kind(given["kind"]), "file_format": Export.Format(given["format"])} | days
