"""What an operator says of a collector of the audit and of logs."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from identity.log_exports import Content, ExportSettings, Protocol
from identity.models import LogExport
from identity.wording import NAME_LENGTH_MAX

_CONTROL = {"class": "form-control", "autocomplete": "off", "spellcheck": "false"}


class LogExportForm(forms.Form):
    """A collector, new or changed (`export`): then it goes on where it is."""

    name = forms.CharField(label=_("Name"), max_length=NAME_LENGTH_MAX, widget=forms.TextInput(attrs=_CONTROL))
    content = forms.ChoiceField(
        label=_("What"),
        choices=Content.choices,
        widget=forms.Select(attrs={"class": "form-select"}),
        help_text=_("Of what the processes log nothing leaves that a request said, and no secret."),
    )
    protocol = forms.ChoiceField(
        label=_("How"), choices=Protocol.choices, widget=forms.Select(attrs={"class": "form-select"})
    )
    address = forms.CharField(
        label=_("Address"),
        widget=forms.TextInput(attrs=_CONTROL),
        help_text=_("Of syslog host:port, such as siem.example.org:6514. Of OTLP https://collector.example.org:4318."),
    )
    trusted = forms.CharField(
        label=_("Certificates that vouch for it (PEM)"),
        required=False,
        widget=forms.Textarea(attrs=_CONTROL | {"rows": 4, "class": "form-control font-monospace"}),
        help_text=_("Empty: those that this machine trusts."),
    )
    authorization = forms.CharField(
        label=_("Authorization, for OTLP"),
        required=False,
        strip=True,
        widget=forms.PasswordInput(attrs=_CONTROL | {"autocomplete": "new-password"}),
        help_text=_(
            "What the collector asks for, such as Bearer and a word of its own. Stored encrypted, never shown."
        ),
    )
    with_names = forms.BooleanField(
        label=_("Events with names, e-mail and network addresses"),
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
        help_text=_("Without them events have pseudonyms. An erasure here does not reach the copy."),
    )
    from_beginning = forms.BooleanField(
        label=_("Send what is there already too"),
        required=False,
        initial=True,
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
    )

    def __init__(self, *args: Any, export: LogExport | None = None, **options: Any) -> None:
        if export is not None:
            told = ("name", "content", "protocol", "address", "trusted", "with_names")
            options["initial"] = {name: getattr(export, name) for name in told}
        else:
            options["initial"] = {"content": Content.AUDIT}
        super().__init__(*args, **options)
        if export is not None:
            del self.fields["from_beginning"]
            if export.sealed_authorization is not None:
                self.fields["authorization"].help_text = _("There is one. Empty: it stays.")

    def settings(self) -> ExportSettings:
        """What was said."""
        given = dict(self.cleaned_data)
        given.pop("from_beginning", None)
        return ExportSettings(**given | {"protocol": Protocol(given["protocol"]), "content": Content(given["content"])})
