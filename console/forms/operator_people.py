"""What is said to appoint an operator."""

from django import forms
from django.utils.translation import gettext_lazy as _

from identity.models import OperatorRole
from identity.wording import NAME_LENGTH_MAX


class AppointForm(forms.Form):
    """Who becomes an operator, and as what."""

    email = forms.CharField(
        label=_("E-mail address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"class": "form-control", "autocomplete": "off"}),
        help_text=_("As the operators' identity provider knows it. It must be nobody's who is a member somewhere."),
    )
    name = forms.CharField(
        label=_("Name"),
        max_length=NAME_LENGTH_MAX,
        required=False,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )
    role = forms.TypedChoiceField(
        label=_("Role"),
        choices=OperatorRole.choices,
        coerce=OperatorRole,
        initial=OperatorRole.SUPPORT,
        widget=forms.Select(attrs={"class": "form-select"}),
        help_text=_("A platform operator may do everything but prices, a billing operator money, support looks in."),
    )
