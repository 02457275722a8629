"""Forms of projects, budgets and limits. They read what was typed; the verbs decide."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from billing.limits.budgets import HIGHEST_LIMIT
from billing.limits.limits import HIGHEST_AMOUNT
from billing.models import Budget, Limit
from billing.money import NotAnAmount, parse_typed_eur, typed_eur
from identity.errors import Conflict, Invalid
from identity.models import Person
from identity.projects import COST_CENTRE_LENGTH_MAX
from identity.wording import NAME_LENGTH_MAX

Period, What, Window = Budget.Period, Limit.What, Limit.Window
_ALERTS = (50, 80, 90, 100)  # percent of a budget, proposed


def _control(**attributes: Any) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", **attributes})


def _choice() -> forms.Select:
    return forms.Select(attrs={"class": "form-select"})


class ResponsibleForm(forms.Form):
    """Who answers for a budget, of those given."""

    said = _("Gets what the budget tells, whatever their role.")
    responsible = forms.ChoiceField(label=_("Responsible person"), required=False, widget=_choice())

    def __init__(self, *args: Any, people: list[Person], **options: Any) -> None:
        super().__init__(*args, **options)
        self._people = {str(person.pseudonym): person for person in people}
        choices = [(pseudonym, str(person)) for pseudonym, person in self._people.items()]
        responsible = self.fields["responsible"]
        assert isinstance(responsible, forms.ChoiceField)
        responsible.choices = [("", _("Nobody")), *choices]
        responsible.help_text = str(self.said)

    @property
    def chosen(self) -> Person | None:
        """Who was chosen."""
        return self._people.get(self.cleaned_data["responsible"])


class ProjectForm(ResponsibleForm):
    """A project's name, cost centre, purchase order and responsible person, of those given."""

    name = forms.CharField(label=_("Name"), max_length=NAME_LENGTH_MAX, widget=_control())
    cost_centre = forms.CharField(
        label=_("Cost centre"),
        max_length=COST_CENTRE_LENGTH_MAX,
        required=False,
        widget=_control(),
        help_text=_("Your own code, such as CC-114. It appears on statements and in exports."),
    )
    purchase_order = forms.CharField(
        label=_("Purchase order"),
        max_length=COST_CENTRE_LENGTH_MAX,
        required=False,
        widget=_control(),
        help_text=_("The number of your order. The project's lines of an invoice name it."),
    )
    field_order = ("name", "cost_centre", "purchase_order", "responsible")
    said = _("Who answers for what the project spends.")


class ProjectModelsForm(forms.Form):
    """Which models the keys of a project may call: all, or some of those given."""

    which = forms.ChoiceField(
        label=_("Its keys may call"),
        choices=(
            ("all", _("All models of the organisation, those that come later too")),
            ("some", _("Only the models chosen below")),
        ),
        widget=forms.RadioSelect(attrs={"class": "form-check-input"}),
    )
    models = forms.MultipleChoiceField(
        label=_("Models"),
        required=False,
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
    )

    def __init__(self, *args: Any, offered: list[str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["models"].choices = [(name, name) for name in offered]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Some is one at least: a project that may call nothing is archived instead."""
        given = self.cleaned_data
        if given.get("which") == "some" and not given.get("models") and "models" not in self.errors:
            self.add_error("models", _("Choose one model at least, or all of them above."))
        return given

    @property
    def chosen(self) -> list[str]:
        """What the verb takes: none for all."""
        given = self.cleaned_data
        return list(given["models"]) if given["which"] == "some" else []


class AmountField(forms.CharField):
    """Euros as people write them; gives nano-EUR."""

    def to_python(self, value: object) -> Any:
        """Raises ValidationError for what is no amount."""
        text = str(value or "").strip()
        if not text:
            return ""
        try:
            return parse_typed_eur(text)
        except NotAnAmount:
            raise ValidationError(_("Give an amount in euros, such as 250 or 99.50.")) from None

    def prepare_value(self, value: Any) -> Any:
        """As it is typed."""
        return typed_eur(value, get_language() or "en") if isinstance(value, int) else value


class LimitAmountField(AmountField):
    """Euros that a budget or a cap can be; gives nano-EUR."""

    def to_python(self, value: object) -> Any:
        """Raises ValidationError for what is no such amount."""
        nano_eur = super().to_python(value)
        if nano_eur != "" and not 0 <= nano_eur <= HIGHEST_LIMIT:
            raise ValidationError(_("Give an amount from 0 to a thousand million euros."))
        return nano_eur


class BudgetForm(forms.Form):
    """A budget: so much a period."""

    period = forms.ChoiceField(label=_("Period"), choices=Period.choices, initial=Period.MONTH, widget=_choice())
    limit = LimitAmountField(label=_("Amount in euros"), widget=_control(inputmode="decimal"))
    is_hard = forms.TypedChoiceField(
        label=_("When it is used up"),
        choices=((1, _("refuse requests until the next period")), (0, _("only tell, refuse nothing"))),
        coerce=lambda text: text == "1",
        initial=1,
        widget=_choice(),
    )
    alerts = forms.TypedMultipleChoiceField(
        label=_("Tell when so much is spent"),
        coerce=int,
        required=False,
        initial=(80, 100),
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
        help_text=_("Owners, administrators, finance and developers are told, once a period and threshold."),
    )
    may_lower_output = forms.BooleanField(
        label=_("Where money is short, shorten answers instead of refusing"),
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
    )
    is_confirmed = forms.BooleanField(required=False, widget=forms.HiddenInput())

    def __init__(self, *args: Any, alerts: Iterable[int] = (), **options: Any) -> None:
        """`alerts`: thresholds that the budget has already; the API takes any, and saving must not lose one."""
        super().__init__(*args, **options)
        percents = sorted({*_ALERTS, *alerts})
        self.fields["alerts"].choices = [(percent, f"{percent} %") for percent in percents]  # type: ignore[attr-defined]


class RaiseForm(forms.Form):
    """A budget raised for a time."""

    limit_nano_eur = LimitAmountField(label=_("Amount in euros, meanwhile"), widget=_control(inputmode="decimal"))
    until = forms.DateTimeField(
        label=_("Until"),
        widget=forms.DateTimeInput(attrs={"class": "form-control", "type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M"],
    )


class LimitForm(forms.Form):
    """A rate or a quota."""

    what = forms.ChoiceField(label=_("What"), choices=What.choices, widget=_choice())
    window = forms.ChoiceField(
        label=_("In a"),
        choices=[choice for choice in Window.choices if choice[0] != Window.NONE],
        required=False,
        widget=_choice(),
        help_text=_("Not used for requests at once."),
    )
    amount = forms.IntegerField(
        label=_("At most"),
        min_value=0,
        max_value=HIGHEST_AMOUNT,
        widget=forms.NumberInput(attrs={"class": "form-control", "inputmode": "numeric"}),
    )

    @property
    def chosen_window(self) -> str:
        """The window, none for requests at once."""
        data = self.cleaned_data
        return Window.NONE.value if data["what"] == What.CONCURRENT else data["window"] or Window.MINUTE.value


def show_refusal(form: forms.Form, error: Invalid | Conflict, field: str) -> None:
    """Put a verb's refusal at the field that it is about; `field` is that of a Conflict."""
    name = error.field if isinstance(error, Invalid) else field
    text = error.message if isinstance(error, Invalid) else str(error)
    form.add_error(name if name in form.fields else None, f"{text[:1].upper()}{text[1:].rstrip('.')}.")
