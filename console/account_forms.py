"""The forms of "My account"."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.time_zones import time_zone_choices
from identity.models import Person, Theme
from identity.service import service
from identity.wording import NAME_LENGTH_MAX

_THEMES = [
    (Theme.SYSTEM.value, _("As the system")),
    (Theme.LIGHT.value, _("Light")),
    (Theme.DARK.value, _("Dark")),
]
# Each language is named in itself: who landed in the wrong one finds the way out.
LANGUAGE_NAMES = {"en": "English", "fr": "Français", "es": "Español"}


class AccountForm(forms.Form):
    """How a person is called and how pages look to them."""

    name = forms.CharField(
        label=_("Name"),
        max_length=NAME_LENGTH_MAX,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "name"}),
    )
    language = forms.ChoiceField(
        label=_("Language"),
        choices=[],
        widget=forms.Select(attrs={"class": "form-select"}),
        help_text=_("Of these pages and of your e-mails."),
    )
    theme = forms.ChoiceField(label=_("Theme"), choices=_THEMES, widget=forms.Select(attrs={"class": "form-select"}))
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        required=False,
        choices=[],
        widget=forms.Select(attrs={"class": "form-select"}),
        help_text=_("In which times are shown to you. Budgets and bills keep the organisation's."),
    )

    def __init__(self, *arguments: Any, is_operator: bool = False, **named: Any) -> None:
        super().__init__(*arguments, **named)
        zone, language = self.fields["time_zone"], self.fields["language"]
        assert isinstance(zone, forms.ChoiceField)
        assert isinstance(language, forms.ChoiceField)
        zone.choices = [("", "UTC" if is_operator else _("The organisation's")), *time_zone_choices()]
        language.choices = [(code, LANGUAGE_NAMES[code]) for code in service().offered_languages]

    @classmethod
    def of(cls, person: Person, data: Any = None) -> "AccountForm":
        """Filled with what is, or with what was sent."""
        fields = ("name", "language", "theme", "time_zone")
        initial = {field: getattr(person, field) for field in fields}
        initial |= {"language": service().language_for(person.language)}
        return cls(data, initial=initial, is_operator=person.is_operator)
