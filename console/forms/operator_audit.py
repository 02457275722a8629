"""Which links of which audit chain an operator wants to see."""

from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from console.audit_wording import DOORS, NOUNS
from identity.audit_across import PLATFORM, actor_named, tenants_with_chains
from identity.audit_trail import Filters
from identity.operators import Operator

_ANY = ("", _("Any"))


class AuditFilterForm(forms.Form):
    """What makes no sense filters nothing."""

    chain = forms.CharField(label=_("Chain"), required=False, max_length=64, widget=forms.Select)
    actor = forms.CharField(label=_("Who"), required=False, max_length=254, widget=forms.TextInput)
    action = forms.CharField(label=_("What"), required=False, max_length=64, widget=forms.Select)
    door = forms.ChoiceField(label=_("Through"), required=False, choices=[_ANY, *DOORS.items()])
    since = forms.DateField(
        label=pgettext_lazy("first day", "From"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d")
    )
    until = forms.DateField(label=_("To"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))
    after = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1, widget=forms.HiddenInput)

    def __init__(self, data: Any, by: Operator) -> None:
        super().__init__(data)
        chains: list[tuple[str, Promise | str]] = [("", _("All")), (PLATFORM, _("The platform's own"))]
        chains += [(tenant.slug, tenant.name) for tenant in tenants_with_chains(by)]
        chosen = self.data.get("chain", "")
        if chosen and chosen not in dict(chains):
            chains.append((chosen, chosen))
        nouns = sorted(NOUNS.items(), key=lambda noun: str(noun[1]).casefold())
        self.fields["chain"].widget.choices = chains
        self.fields["action"].widget.choices = [_ANY, *nouns]
        self.fields["actor"].widget.attrs["placeholder"] = _("E-mail address or key")
        for name in ("chain", "action", "door"):
            self.fields[name].widget.attrs["class"] = "form-select"
        for name in ("actor", "since", "until"):
            self.fields[name].widget.attrs["class"] = "form-control"

    def filters(self) -> Filters:
        """What was asked for; days are those of the reader's time zone, the last one included."""
        self.is_valid()
        given = self.cleaned_data
        since, until = given.get("since"), given.get("until")
        return Filters(
            actor=actor_named(given.get("actor") or ""),
            action=given.get("action") or "",
            door=given.get("door") or "",
            since=_midnight(since) if since else None,
            until=_midnight(until + timedelta(days=1)) if until and until < date.max else None,
        )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, timezone.get_current_timezone())
