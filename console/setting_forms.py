"""The forms of an organisation's settings."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.time_zones import time_zone_choices
from identity.key_rules import LIFE_DAYS_MAX, Creators, KeyRules
from identity.models import Tenant, Webhook
from identity.notice_kinds import KINDS
from identity.notice_kinds.operator import OPERATOR_KINDS
from identity.wording import NAME_LENGTH_MAX

_OF_OPERATORS = {kind.name for kind in OPERATOR_KINDS} | {"webhook.tested", "invitation.received"}
_CREATORS = [
    (Creators.DEVELOPERS.value, _("Developers and administrators")),
    (Creators.ADMINISTRATORS.value, _("Administrators only")),
]


def _text(**attributes: str) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", **attributes})


class OrganisationForm(forms.Form):
    """Name and time zone."""

    name = forms.CharField(label=_("Name"), max_length=NAME_LENGTH_MAX, widget=_text())
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=time_zone_choices,
        widget=forms.Select(attrs={"class": "form-select"}),
        help_text=_(
            "Days, months, budgets and limits begin at midnight here. After a change, a budget period that runs ends "
            "when it was going to; the next one follows at once and ends by the new time zone. What was spent stays "
            "where it is."
        ),
    )

    @classmethod
    def of(cls, tenant: Tenant, data: Any = None) -> "OrganisationForm":
        """Filled with what is, or with what was sent."""
        return cls(data, initial={"name": tenant.name, "time_zone": tenant.time_zone})


class KeyRulesForm(forms.Form):
    """What the organisation demands of all its keys."""

    longest_life_days = forms.IntegerField(
        label=_("Longest life in days"),
        required=False,
        min_value=1,
        max_value=LIFE_DAYS_MAX,
        widget=forms.NumberInput(attrs={"class": "form-control"}),
        help_text=_("Empty: a key may live for ever."),
    )
    default_life_days = forms.IntegerField(
        label=_("Proposed life in days"),
        required=False,
        min_value=1,
        max_value=LIFE_DAYS_MAX,
        widget=forms.NumberInput(attrs={"class": "form-control"}),
        help_text=_("What the form for a new key starts with."),
    )
    ip_ranges = forms.CharField(
        label=_("Addresses and networks"),
        required=False,
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 3, "spellcheck": "false"}),
        help_text=_("One a line, such as 192.0.2.0/24. Keys work from there only. Empty: from everywhere."),
    )
    creators = forms.ChoiceField(
        label=_("Who makes keys"), choices=_CREATORS, widget=forms.Select(attrs={"class": "form-select"})
    )
    personal_keys = forms.BooleanField(
        label=_("People may have keys of their own"),
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
    )

    @classmethod
    def of(cls, rules: KeyRules, data: Any = None) -> "KeyRulesForm":
        """Filled with what is, or with what was sent."""
        initial = {
            "longest_life_days": rules.longest_life_days,
            "default_life_days": rules.default_life_days,
            "ip_ranges": "\n".join(rules.ip_ranges),
            "creators": rules.creators.value,
            "personal_keys": rules.personal_keys,
        }
        return cls(data, initial=initial)

    def rules(self) -> KeyRules:
        """What was asked for, once it is valid."""
        asked = self.cleaned_data
        return KeyRules(
            longest_life_days=asked["longest_life_days"],
            default_life_days=asked["default_life_days"],
            ip_ranges=tuple(asked["ip_ranges"].split()),
            creators=Creators(asked["creators"]),
            personal_keys=asked["personal_keys"],
        )


class WebhookForm(forms.Form):
    """Where notices are posted to, and which."""

    name = forms.CharField(label=_("Name"), max_length=NAME_LENGTH_MAX, widget=_text())
    url = forms.CharField(
        label=_("Address"),
        max_length=2048,
        widget=_text(placeholder="https://example.org/hooks/beffroi", inputmode="url", spellcheck="false"),
        help_text=_("Notices are posted there as JSON, signed by Standard Webhooks 1.0."),
    )
    kinds = forms.MultipleChoiceField(
        label=_("Only these notices"),
        required=False,
        choices=[(kind.name, kind.label) for kind in KINDS.values() if kind.name not in _OF_OPERATORS],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
        help_text=_("None chosen: all of them."),
    )

    @classmethod
    def of(cls, webhook: Webhook, data: Any = None) -> "WebhookForm":
        """Filled with what is, or with what was sent."""
        return cls(data, initial={"name": webhook.name, "url": webhook.url, "kinds": webhook.kinds})
