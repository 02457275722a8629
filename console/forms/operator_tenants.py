"""What an operator types to make organisations, and why one is suspended. The verbs decide."""

from typing import Any

from django import forms
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from billing.contracts.tiers import offered_tiers
from billing.tenants.tenants import TenantWish
from console.time_zones import time_zone_choices
from identity.models import Tenant
from identity.wording import NAME_LENGTH_MAX

_FILE_BYTES_MAX = 512 * 1024  # 1,000 lines, each far longer than any needs to be


def _control(**attributes: Any) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", **attributes})


class TenantForm(forms.Form):
    """A new organisation."""

    name = forms.CharField(label=_("Name"), max_length=NAME_LENGTH_MAX, widget=_control())
    tier = forms.ChoiceField(
        label=_("Tier"),
        widget=forms.Select(attrs={"class": "form-select"}),
        help_text=_("Its limits and cap begin with the contract, now."),
    )
    owner = forms.EmailField(
        label=_("Its first owner"),
        required=False,
        widget=forms.EmailInput(attrs={"class": "form-control", "autocomplete": "off"}),
        help_text=_("An e-mail address that is invited. Its owner invites everybody else."),
    )
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        initial="Europe/Paris",
        widget=forms.Select(attrs={"class": "form-select"}),
        help_text=_("Days and months of its budgets and statements begin there."),
    )
    slug = forms.SlugField(
        label=_("Short name for addresses"),
        required=False,
        max_length=63,
        widget=_control(),
        error_messages={"invalid": _("Use lower case letters, digits and hyphens only.")},
        help_text=_("Lower case, digits and hyphens; made of the name unless you give one. It cannot be changed."),
    )
    external_id = forms.CharField(
        label=_("External id"),
        required=False,
        max_length=128,
        widget=_control(),
        help_text=_("What your own systems call it. Scripts find it by this."),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        tiers = offered_tiers().order_by("by_agreement", "id").values_list("code", "name")
        for name, choices in (("tier", list(tiers)), ("time_zone", time_zone_choices())):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = choices

    @property
    def wish(self) -> TenantWish:
        """What was typed."""
        values = dict(self.cleaned_data)
        values["slug"] = values["slug"] or slugify(values["name"])[:63]
        return TenantWish(**values)


class LinesForm(forms.Form):
    """Lines to be looked at: a file, or pasted text."""

    file = forms.FileField(
        label=_("CSV file"), required=False, widget=forms.FileInput(attrs={"class": "form-control", "accept": ".csv"})
    )
    text = forms.CharField(
        label=_("Or paste it here"),
        required=False,
        max_length=_FILE_BYTES_MAX,
        widget=forms.Textarea(attrs={"class": "form-control font-monospace", "rows": 8, "spellcheck": "false"}),
    )

    def clean(self) -> dict[str, Any]:
        """The lines as `text`, whichever way it came. Raises `ValidationError`."""
        values = super().clean() or {}
        if file := values.get("file"):
            if file.size > _FILE_BYTES_MAX:
                raise forms.ValidationError(_("The file is too large."))
            try:
                values["text"] = file.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                raise forms.ValidationError(
                    _("The file is not in UTF-8. In a spreadsheet, save it as “CSV UTF-8”.")
                ) from None
        if not values.get("text"):
            raise forms.ValidationError(_("Choose a file, or paste its text."))
        return values


class TenantFileForm(LinesForm):
    """Organisations as a table."""

    skip_refused = forms.BooleanField(
        label=_("Make the others even where a line is wrong"),
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
    )


class ReasonForm(forms.Form):
    """Why an organisation is suspended, or not any more."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=NAME_LENGTH_MAX,
        widget=_control(),
        help_text=_("The organisation's people read it."),
    )


class TenantFilterForm(forms.Form):
    """Which organisations a list shows."""

    q = forms.CharField(required=False, max_length=100)
    status = forms.ChoiceField(required=False, choices=[("", ""), *Tenant.Status.choices])
    tier = forms.SlugField(required=False, max_length=32)
    after = forms.IntegerField(required=False, min_value=0, max_value=2**63 - 1)
