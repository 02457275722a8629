"""What people fill in to find, make and change keys."""

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from billing.limits.budgets import HIGHEST_LIMIT
from billing.limits.key_bounds import KeyBounds
from billing.limits.limits import HIGHEST_AMOUNT
from billing.models import Budget, Limit
from billing.money import NotAnAmount, parse_typed_eur, typed_eur
from identity.key_policy import KeyPolicy
from identity.key_rotation import GRACE_DEFAULT, GRACE_MAX
from identity.key_rules import KeyRules
from identity.key_search import TEXT_LENGTH_MAX, KeyFilters, Sort, State
from identity.models import ApiKey, Person, Project
from identity.scopes import Scope

_PROPOSED_LIFE = timedelta(days=365)  # where the organisation proposes none
LIMITS = {
    "requests_a_minute": (Limit.What.REQUESTS.value, Limit.Window.MINUTE.value),
    "tokens_a_minute": (Limit.What.TOKENS.value, Limit.Window.MINUTE.value),
    "requests_at_once": (Limit.What.CONCURRENT.value, Limit.Window.NONE.value),
}
STATES = [
    ("", _("any state")),
    (State.ACTIVE, _("works")),
    (State.EXPIRING, _("expires within 14 days")),
    (State.UNUSED, _("unused for 90 days")),
    (State.ROTATING, _("rotation under way")),
    (State.EXPIRED, _("expired")),
    (State.BLOCKED, _("blocked by the operator")),
    (State.REVOKED, _("revoked")),
]
SORTS = [("", _("newest first")), (Sort.LAST_USED, _("last used first"))]
_SELECT = {"class": "form-select"}
_TEXT = {"class": "form-control"}
_TICK = {"class": "form-check-input"}
# Another project has other models. Without scripts the form comes back with them, should one be chosen that it has not.
_RENEWS_MODELS = {
    "hx-get": "",
    "hx-trigger": "change",
    "hx-select": "#key-models",
    "hx-target": "#key-models",
    "hx-swap": "outerHTML",
    "hx-include": "[name='allowed_models']",
}


class SearchForm(forms.Form):
    """What is looked for in a list of keys."""

    q = forms.CharField(
        label=_("Name or key"), required=False, max_length=TEXT_LENGTH_MAX, widget=forms.TextInput(attrs=_TEXT)
    )
    state = forms.ChoiceField(label=_("State"), required=False, choices=STATES, widget=forms.Select(attrs=_SELECT))
    project = forms.TypedChoiceField(
        label=_("Project"), required=False, coerce=int, empty_value=None, widget=forms.Select(attrs=_SELECT)
    )
    sort = forms.ChoiceField(label=_("Order"), required=False, choices=SORTS, widget=forms.Select(attrs=_SELECT))
    person = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any, projects: Iterable[Project]) -> None:
        super().__init__(data)
        self.fields["project"].choices = [("", _("all projects"))] + [(p.pk, p.name) for p in projects]  # type: ignore[attr-defined]
        for field in self.fields.values():
            field.widget.attrs["data-submits"] = "" if isinstance(field.widget, forms.Select) else None
            if field.widget.attrs["data-submits"] is None:
                del field.widget.attrs["data-submits"]

    def filters(self) -> KeyFilters:
        """What was understood of it."""
        self.is_valid()
        given = self.cleaned_data
        person: UUID | None = given.get("person")
        return KeyFilters(
            text=given.get("q") or "",
            project_id=given.get("project"),
            person=person,
            state=State(given["state"]) if given.get("state") else None,
            sort=Sort(given["sort"]) if given.get("sort") else Sort.NEWEST,
        )


class PolicyForm(forms.Form):
    """What a key may do and use: the folded part of a new key, and a key that is changed."""

    name = forms.CharField(
        label=_("Name"),
        max_length=200,
        help_text=_("The application and its environment, such as “Citizens' portal, production”."),
        widget=forms.TextInput(attrs=_TEXT | {"autocomplete": "off"}),
    )
    expires_on = forms.DateField(
        label=_("Last day"),
        required=False,
        widget=forms.DateInput(attrs=_TEXT | {"type": "date"}, format="%Y-%m-%d"),
    )
    scopes = forms.MultipleChoiceField(
        label=_("It may"),
        required=False,
        widget=forms.CheckboxSelectMultiple(attrs=_TICK),
    )
    allowed_models = forms.MultipleChoiceField(
        label=_("Only these models"), required=False, widget=forms.CheckboxSelectMultiple(attrs=_TICK)
    )
    ip_ranges = forms.CharField(
        label=_("Only from these addresses"),
        required=False,
        widget=forms.Textarea(attrs=_TEXT | {"rows": 2, "placeholder": "192.0.2.0/24"}),
    )
    origins = forms.CharField(
        label=_("Web pages that may use it"),
        required=False,
        help_text=_("One origin a line. Empty: no browser may use it."),
        widget=forms.Textarea(attrs=_TEXT | {"rows": 2, "placeholder": "https://app.example.org"}),
    )
    budget = forms.CharField(
        label=_("Budget, EUR"), required=False, widget=forms.TextInput(attrs=_TEXT | {"inputmode": "decimal"})
    )
    budget_period = forms.ChoiceField(
        label=_("Each"), choices=Budget.Period.choices, initial=Budget.Period.MONTH, widget=forms.Select(attrs=_SELECT)
    )
    requests_a_minute = forms.IntegerField(label=_("Requests a minute"), required=False)
    tokens_a_minute = forms.IntegerField(label=_("Tokens a minute"), required=False)
    requests_at_once = forms.IntegerField(label=_("Requests at once"), required=False)

    def __init__(self, *args: Any, rules: KeyRules, may_give: list[Scope], models: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rules = rules
        self.fields["scopes"].choices = [(scope.value, SCOPE_WORDS[scope]) for scope in may_give]  # type: ignore[attr-defined]
        self.fields["allowed_models"].choices = [(name, name) for name in models]  # type: ignore[attr-defined]
        self.fields["expires_on"].help_text = _life_in_words(rules)
        self.fields["expires_on"].required = rules.longest_life_days is not None
        self.fields["ip_ranges"].help_text = _addresses_in_words(rules)
        for name in LIMITS:
            field = self.fields[name]
            field.min_value, field.max_value = 0, HIGHEST_AMOUNT  # type: ignore[attr-defined]
            field.widget.attrs |= _TEXT | {"min": 0, "max": HIGHEST_AMOUNT}

    def clean_budget(self) -> int | None:
        """In nano-EUR."""
        text = self.cleaned_data["budget"].strip()
        if not text:
            return None
        try:
            amount = parse_typed_eur(text)
        except NotAnAmount:
            raise forms.ValidationError(_("Write an amount such as 250 or 12.50.")) from None
        if not 0 <= amount <= HIGHEST_LIMIT:
            raise forms.ValidationError(_("Write an amount of 0 or more."))
        return amount

    def policy(self) -> KeyPolicy:
        """What was asked for."""
        return self.policy_until(self.expires_at())

    def policy_until(self, expires_at: datetime | None) -> KeyPolicy:
        """What was asked for, with another end: one that was not touched keeps its time of day."""
        given = self.cleaned_data
        return KeyPolicy(
            scopes=frozenset(Scope(scope) for scope in given["scopes"]),
            allowed_models=tuple(given["allowed_models"]),
            ip_ranges=_lines(given["ip_ranges"]),
            origins=_lines(given["origins"]),
            expires_at=expires_at,
        )

    def expires_at(self) -> datetime | None:
        """The end of the last day in the organisation's time zone, or of the longest life on that day."""
        return end_of_day(self.cleaned_data["expires_on"], self.rules)

    def bounds(self) -> KeyBounds:
        """The key's own budget and limits."""
        given = self.cleaned_data
        limits = {place: given[name] for name, place in LIMITS.items()}
        return KeyBounds(given["budget"], given["budget_period"], limits)


class NewKeyForm(PolicyForm):
    """A key to be made: three fields, the rest folded."""

    project = forms.TypedChoiceField(label=_("Project"), coerce=int, widget=forms.Select(attrs=_SELECT))
    kind = forms.ChoiceField(
        label=_("Whose key it is"),
        choices=[
            ("project", _("The project's: it goes on when you leave. You answer for it.")),
            ("personal", _("Yours: it ends when you leave the organisation.")),
        ],
        widget=forms.RadioSelect(attrs=_TICK),
        initial="project",
    )
    request = forms.CharField(widget=forms.HiddenInput, max_length=64)

    def __init__(self, *args: Any, projects: list[Project], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["project"].choices = [(project.pk, project.name) for project in projects]  # type: ignore[attr-defined]
        self.fields["project"].widget.attrs |= _RENEWS_MODELS
        if not self.rules.personal_keys:
            del self.fields["kind"]

    @property
    def is_personal(self) -> bool:
        """Whether it is to be the maker's own."""
        return self.cleaned_data.get("kind") == "personal"


class ChangeKeyForm(PolicyForm):
    """A key to be changed."""

    responsible = forms.ChoiceField(
        label=_("Who answers for it"),
        required=False,
        help_text=_("Gets the reminders, and is asked when something is wrong."),
        widget=forms.Select(attrs=_SELECT),
    )

    def __init__(self, *args: Any, people: list[Person], may_bind: bool, is_personal: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["responsible"].choices = [("", _("nobody yet")), *people_choices(people)]  # type: ignore[attr-defined]
        if is_personal:
            del self.fields["responsible"]
        if not may_bind:
            for name in ("budget", "budget_period", *LIMITS):
                del self.fields[name]


class RotateForm(forms.Form):
    """A new secret, and how long the present one works on."""

    grace = forms.TypedChoiceField(
        label=_("The present secret works for another"),
        coerce=int,
        widget=forms.RadioSelect(attrs=_TICK),
        choices=[
            (0, _("0 minutes: it stops now")),
            (3600, _("hour")),
            (86_400, _("day")),
            (7 * 86_400, _("week")),
            (30 * 86_400, _("30 days")),
            (int(GRACE_MAX.total_seconds()), _("90 days")),
        ],
        initial=int(GRACE_DEFAULT.total_seconds()),
    )
    request = forms.CharField(widget=forms.HiddenInput, max_length=64)


SCOPE_WORDS = {
    Scope.INFERENCE: _("Call models"),
    Scope.USAGE_READ_TENANT: _("Read the usage and the budgets of the whole organisation"),
    Scope.KEYS_MANAGE: _("Create, change, rotate and revoke keys of its project, none able to do more than itself"),
    Scope.PROJECTS_MANAGE: _("Create, change and archive projects of the organisation"),
    Scope.BUDGETS_MANAGE: _("Set and end budgets and limits of the whole organisation"),
    Scope.AUDIT_READ: _("Read the audit of the organisation"),
    Scope.MEMBERS_READ: _("Read members, invitations, access reviews and support sessions"),
    Scope.MEMBERS_MANAGE: _("Invite, change and remove members of the project who may do no more than the key"),
    Scope.TENANT_MANAGE: _("Read the notices of the organisation, manage its webhooks and settings"),
    Scope.IDENTITY_MANAGE: _(
        "Prepare the identity provider, manage provisioning tokens and the key policy: it can let people in"
    ),
    Scope.BILLING_READ: _("Read the contract and the monthly statements"),
    Scope.BILLING_MANAGE: _("Read the contract and the statements, say whom invoices are made out to"),
    Scope.TIER_CHOOSE: _("Take another tier for the organisation"),
    Scope.CREDIT_ORDER: _("Order prepaid credit for the organisation"),
}


def people_choices(people: Iterable[Person]) -> list[tuple[str, str]]:
    """People by name, for a select."""
    return [(str(person.pseudonym), person.name or person.email) for person in people]


def initial_of(key: ApiKey, bounds: KeyBounds) -> dict[str, Any]:
    """A key as `ChangeKeyForm` shows it."""
    ends = key.expires_at and timezone.localtime(key.expires_at - timedelta(seconds=1)).date()
    limits = {name: bounds.limits.get(place) for name, place in LIMITS.items()}
    return limits | {
        "name": key.name,
        "expires_on": ends,
        "scopes": key.scopes,
        "allowed_models": key.allowed_models,
        "ip_ranges": "\n".join(key.ip_ranges),
        "origins": "\n".join(key.origins),
        "budget": "" if bounds.budget_nano_eur is None else typed_eur(bounds.budget_nano_eur, get_language() or "en"),
        "budget_period": bounds.period,
        "responsible": str(key.responsible.pseudonym) if key.responsible else "",
    }


def proposed_last_day(rules: KeyRules, now: datetime) -> datetime:
    """What a new key's form proposes as its end."""
    return timezone.localtime(rules.proposed_end(now) or now + _PROPOSED_LIFE) - timedelta(seconds=1)


def end_of_day(day: Any, rules: KeyRules) -> datetime | None:
    """Midnight after that day where the person is; the longest life may end on the day, earlier."""
    if day is None:
        return None
    midnight = datetime.combine(day + timedelta(days=1), time(), timezone.get_current_timezone())
    latest = rules.latest_end(timezone.now())
    if latest is not None and timezone.localtime(latest).date() == day:
        return latest - timedelta(seconds=60)  # the key is made a moment later than the form was read
    return midnight


def _life_in_words(rules: KeyRules) -> Any:
    if rules.longest_life_days is not None:
        return _("Your organisation's key policy allows %(days)s days at most.") % {"days": rules.longest_life_days}
    return _("It ends at midnight after this day. Empty: it does not end by itself.")


def _addresses_in_words(rules: KeyRules) -> Any:
    if rules.ip_ranges:
        networks = ", ".join(rules.ip_ranges)
        return _("Empty: those of your organisation's key policy, %(networks)s.") % {"networks": networks}
    return _("One address or network a line. Empty: from everywhere.")


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.replace(",", "\n").splitlines() if line.strip())
