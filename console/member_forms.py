"""Forms about people: whom to invite, as what, in which projects; who takes over; a support session."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.role_words import WHAT_SUPPORT_MAY_GET
from identity.access import Caller, projects_for
from identity.errors import Forbidden
from identity.member_list import Member
from identity.members import require_may_give
from identity.models import Person, Project, Role
from identity.operator_messages import MESSAGE_LENGTH_MAX, Topic
from identity.permissions import Permission

_MINUTES: dict[int, Promise] = {
    30: _("30 minutes"),
    60: _("1 hour"),
    120: _("2 hours"),
    240: _("4 hours"),
    480: _("8 hours"),
}


class RoleForm(forms.Form):
    """A role, in all projects or in some."""

    role = forms.ChoiceField(label=_("Role"), widget=forms.Select(attrs={"class": "form-select"}))
    reach = forms.ChoiceField(
        label=_("Projects"),
        choices=[("all", _("All projects, later ones too")), ("some", _("Only the projects chosen below"))],
        initial="all",
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    projects = forms.MultipleChoiceField(
        label=_("Chosen projects"),
        required=False,
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
    )

    def __init__(self, *args: Any, caller: Caller, member: Member | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._projects = {str(project.pk): project for project in projects_for(caller)}
        self._choices("role").choices = [(role.value, role.label) for role in roles_to_give(caller)]
        self._choices("projects").choices = [(pk, project.name) for pk, project in self._projects.items()]
        self.initial.setdefault("role", Role.DEVELOPER.value)
        if member is not None:
            self.initial["role"] = member.role.value
            self.initial["reach"] = "all" if member.projects is None else "some"
            self.initial["projects"] = [str(project.pk) for project in member.projects or ()]

    def _choices(self, name: str) -> forms.ChoiceField:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        return field

    def clean(self) -> dict[str, Any]:
        """Who is in some projects is in one at least."""
        given = super().clean() or {}
        if given.get("reach") == "some" and not given.get("projects"):
            self.add_error("projects", _("Choose at least one project."))
        return given

    @property
    def chosen_role(self) -> Role:
        """The role that was chosen."""
        return Role(self.cleaned_data["role"])

    @property
    def chosen_projects(self) -> list[Project] | None:
        """The projects that were chosen; None: all."""
        if self.cleaned_data["reach"] == "all":
            return None
        return [self._projects[pk] for pk in self.cleaned_data["projects"]]


class InvitationForm(RoleForm):
    """Whom to invite."""

    email = forms.EmailField(
        label=_("E-mail address"),
        help_text=_("The address that the person signs in with."),
        widget=forms.EmailInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )
    field_order = ("email", "role", "reach", "projects")


class HeirForm(forms.Form):
    """Who takes over what somebody answered for."""

    heir = forms.ChoiceField(
        label=_("Who takes over"),
        required=False,
        help_text=_("Answers from now on for the projects, keys and budgets that this person answered for."),
        widget=forms.Select(attrs={"class": "form-select"}),
    )

    def __init__(self, *args: Any, people: Iterable[Person], **options: Any) -> None:
        super().__init__(*args, **options)
        self._people = {str(person.pseudonym): person for person in people}
        field = self.fields["heir"]
        assert isinstance(field, forms.ChoiceField)
        nobody = [("", _("Nobody yet: the keys are listed under Needs attention"))]
        field.choices = nobody + [(pseudonym, str(person)) for pseudonym, person in self._people.items()]

    @property
    def chosen(self) -> Person | None:
        """Who was chosen."""
        return self._people.get(self.cleaned_data["heir"])


class SupportForm(forms.Form):
    """Why an operator looks into an organisation, and for how long."""

    slug = forms.SlugField(label=_("Organisation"), widget=forms.HiddenInput)
    reason = forms.CharField(
        label=_("Reason"),
        max_length=200,
        help_text=_("The organisation reads it. Name the ticket."),
        widget=forms.TextInput(attrs={"class": "form-control"}),
    )
    minutes = forms.TypedChoiceField(
        label=_("For"), choices=list(_MINUTES.items()), coerce=int, initial=60,
        widget=forms.Select(attrs={"class": "form-select"}),
    )  # fmt: skip

    @property
    def duration(self) -> timedelta:
        """How long."""
        return timedelta(minutes=self.cleaned_data["minutes"])


class GrantForm(forms.Form):
    """What an owner adds to a support session, and for how long."""

    permissions = forms.TypedMultipleChoiceField(
        label=_("More than reading"),
        required=False,
        choices=[(permission.value, label) for permission, label in WHAT_SUPPORT_MAY_GET.items()],
        coerce=Permission,
        help_text=_("Never possible: to create or rotate keys, to call models, to let people in."),
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
    )
    minutes = forms.TypedChoiceField(
        label=_("For"), choices=list(_MINUTES.items()), coerce=int, initial=30,
        help_text=_("At most until the session ends."),
        widget=forms.Select(attrs={"class": "form-select"}),
    )  # fmt: skip

    @property
    def duration(self) -> timedelta:
        """How long."""
        return timedelta(minutes=self.cleaned_data["minutes"])


def roles_to_give(caller: Caller) -> list[Role]:
    """The roles that the caller may give to somebody."""
    return [role for role in Role if _may_give(caller, role)]


def _may_give(caller: Caller, role: Role) -> bool:
    try:
        require_may_give(caller, role, None)
    except Forbidden:
        return False
    return True


class OperatorMessageForm(forms.Form):
    """Something to tell or ask the operator."""

    topic = forms.ChoiceField(
        label=_("It is about"),
        choices=[(topic.value, topic.label) for topic in Topic],
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    message = forms.CharField(
        label=_("Message"),
        max_length=MESSAGE_LENGTH_MAX,
        help_text=_("No prompts, no keys, nothing confidential."),
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 6}),
    )

    @property
    def chosen_topic(self) -> Topic:
        """What it is about."""
        return Topic(self.cleaned_data["topic"])
