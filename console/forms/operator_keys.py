"""What a platform operator says to make a key for a program."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from identity.operator_keys import LIFE_MAX, USUAL_LIFE_DAYS
from identity.operators import Operator
from identity.permissions import OPERATOR_SCOPE_PERMISSIONS
from identity.scopes import OperatorScope
from identity.wording import NAME_LENGTH_MAX


class OperatorKeyForm(forms.Form):
    """A new operator's key, with scopes that its maker may give."""

    name = forms.CharField(
        label=_("Name"),
        max_length=NAME_LENGTH_MAX,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
        help_text=_("What uses it, such as Terraform."),
    )
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"),
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
        help_text=_("Write includes read. You can give what you may do yourself."),
    )
    days = forms.IntegerField(
        label=_("Days until it ends"),
        initial=USUAL_LIFE_DAYS,
        min_value=1,
        max_value=LIFE_MAX.days,
        widget=forms.NumberInput(attrs={"class": "form-control"}),
    )

    def __init__(self, *args: Any, by: Operator, **options: Any) -> None:
        super().__init__(*args, **options)
        scopes = self.fields["scopes"]
        assert isinstance(scopes, forms.MultipleChoiceField)
        scopes.choices = [
            (scope.value, scope.value) for scope in OperatorScope if by.permissions >= OPERATOR_SCOPE_PERMISSIONS[scope]
        ]

    @property
    def expires_at(self) -> datetime:
        """When the key ends."""
        return timezone.now() + timedelta(days=self.cleaned_data["days"])
