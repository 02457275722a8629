"""The forms of Settings, Sign-in."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from identity import access
from identity.access import Caller
from identity.models import IdentityProvider, Project, ProviderVersion, Role
from identity.permissions import Permission
from identity.providers import ProviderSettings, settings_of
from identity.wording import NAME_LENGTH_MAX

_TEXT = {"class": "form-control", "autocomplete": "off", "spellcheck": "false"}


class ScimTokenForm(forms.Form):
    """A token for the directory."""

    name = forms.CharField(
        label=_("Name of the token"),
        max_length=NAME_LENGTH_MAX,
        help_text=_("Such as the directory that will use it."),
        widget=forms.TextInput(attrs=_TEXT | {"id": "scim-token-name"}),
    )


class ProviderForm(forms.Form):
    """What has to be known of a provider."""

    issuer = forms.CharField(
        label=_("Address of the provider (issuer)"),
        max_length=255,
        help_text=_("Such as https://login.example.org/realms/staff, exactly as the provider calls itself."),
        widget=forms.URLInput(attrs=_TEXT),
    )
    client_id = forms.CharField(label=_("Client id"), max_length=255, widget=forms.TextInput(attrs=_TEXT))
    client_secret = forms.CharField(
        label=_("Client secret"),
        max_length=2_000,
        required=False,
        help_text=_("Kept encrypted and never shown. Leave it empty to keep the one in use."),
        widget=forms.PasswordInput(attrs=_TEXT | {"autocomplete": "new-password"}),
    )
    groups_claim = forms.CharField(
        label=_("Claim with a person's groups"),
        max_length=64,
        initial="groups",
        help_text=_("A name, or a path such as realm_access.roles."),
        widget=forms.TextInput(attrs=_TEXT),
    )
    required_acr = forms.CharField(
        label=_("Required class of sign-in (acr)"),
        max_length=1_000,
        required=False,
        help_text=_("One of these, separated by spaces. Empty: any."),
        widget=forms.TextInput(attrs=_TEXT),
    )
    required_amr = forms.CharField(
        label=_("Required methods (amr)"),
        max_length=500,
        required=False,
        help_text=_("All of these, separated by spaces; “mfa” asks for a second factor. Empty: any."),
        widget=forms.TextInput(attrs=_TEXT),
    )

    @staticmethod
    def initial_of(version: ProviderVersion | None) -> dict[str, Any]:
        """What the form shows first: the settings there are, but for the secret."""
        if version is None:
            return {}
        shown = settings_of(version)
        return {
            "issuer": shown.issuer,
            "client_id": shown.client_id,
            "groups_claim": shown.groups_claim,
            "required_acr": " ".join(shown.required_acr),
            "required_amr": " ".join(shown.required_amr),
        }

    def settings(self) -> ProviderSettings:
        """What was entered."""
        given = self.cleaned_data
        return ProviderSettings(
            issuer=given["issuer"],
            client_id=given["client_id"],
            client_secret=given["client_secret"],
            groups_claim=given["groups_claim"],
            required_acr=tuple(given["required_acr"].split()),
            required_amr=tuple(given["required_amr"].split()),
        )


class GroupRuleForm(forms.Form):
    """Whose group gives what."""

    provider = forms.ModelChoiceField(
        label=_("Provider"),
        queryset=IdentityProvider.objects.none(),
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    group = forms.CharField(label=_("Group at the provider"), max_length=255, widget=forms.TextInput(attrs=_TEXT))
    role = forms.ChoiceField(
        label=_("Role here"),
        choices=Role.choices,
        initial=Role.DEVELOPER,
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    projects = forms.ModelMultipleChoiceField(
        label=_("Only in these projects"),
        queryset=Project.objects.none(),
        required=False,
        help_text=_("None chosen: in all, later ones too."),
        widget=forms.SelectMultiple(attrs={"class": "form-select", "size": 4}),
    )

    def __init__(self, caller: Caller, providers: list[IdentityProvider], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.has_provider = bool(providers)
        provider: Any = self.fields["provider"]
        provider.queryset = IdentityProvider.objects.filter(pk__in=[one.pk for one in providers])
        if len(providers) == 1:
            provider.initial, provider.widget = providers[0].pk, forms.HiddenInput()
        projects: Any = self.fields["projects"]
        projects.queryset = (
            access.projects_for(caller) if caller.may(Permission.PROJECT_READ) else Project.objects.none()
        )
