"""What is typed of an organisation's own name for a model. The verbs decide."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _


class AliasForm(forms.Form):
    """A name, and the model that it is to mean."""

    alias = forms.CharField(
        label=_("Name"),
        max_length=200,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", "spellcheck": "false"}),
        help_text=_("What programs send as model, such as gpt-4o. Letters, digits and . _ : / @ + -."),
    )
    model = forms.ChoiceField(label=_("Means the model"), widget=forms.Select(attrs={"class": "form-select"}))

    def __init__(self, data: Any, *, names: Iterable[str]) -> None:
        super().__init__(data)
        self.fields["model"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
