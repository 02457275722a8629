"""What an operator types of an organisation rule, and lists of groups. The verbs decide."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.contracts.tiers import all_tiers
from billing.models import Tier
from billing.tenants.organisation_rules import MADE_MAX, NAME_PATTERN_LENGTH_MAX, RuleWish
from console.forms.operator_tenants import LinesForm
from console.time_zones import time_zone_choices
from identity.group_patterns import PATTERN_LENGTH_MAX
from identity.models import OrganisationRule, Role

_SELECT = {"class": "form-select"}


def _control(**attributes: Any) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", **attributes})


class OrganisationRuleForm(forms.Form):
    """A rule."""

    pattern = forms.CharField(
        label=_("Names of groups"),
        max_length=PATTERN_LENGTH_MAX,
        widget=_control(spellcheck="false", placeholder="llm-*"),
        help_text=_(
            "With one * for the organisation: llm-* and the group llm-finance make the organisation “finance”. Capital "
            "letters count. Where several rules fit a name, the one that says most of it decides."
        ),
    )
    role = forms.ChoiceField(
        label=_("What members of the group are"),
        choices=Role.choices,
        initial=Role.DEVELOPER,
        widget=forms.Select(attrs=_SELECT),
        help_text=_("In the whole organisation. Who owns or administers it lets others in."),
    )
    joins = forms.ChoiceField(
        label=_("Of which organisations"),
        required=False,
        widget=forms.Select(attrs=_SELECT),
        help_text=_(
            "llm-*-owners is about the organisations of llm-*. What is a rule's own no other rule reaches, though its "
            "groups have the same word in them."
        ),
    )
    makes = forms.BooleanField(
        label=_("Make the organisation where there is none"),
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
        help_text=_("Else the rule only brings members to those that there are and that you choose."),
    )
    tier = forms.ChoiceField(
        label=_("Tier"),
        required=False,
        widget=forms.Select(attrs=_SELECT),
        help_text=_("Of those that it makes: their contract begins with its limits and its cap."),
    )
    name_pattern = forms.CharField(
        label=_("What they are called"),
        max_length=NAME_PATTERN_LENGTH_MAX,
        initial="*",
        widget=_control(),
        help_text=_("“Department *” makes “Department Finance”. It can be changed later."),
    )
    id_pattern = forms.CharField(
        label=_("Their external id"),
        max_length=63,
        initial="*",
        widget=_control(spellcheck="false"),
        help_text=_(
            "What your own systems call them. Where two houses share the provider, give each a beginning: lyon-* makes "
            "lyon-finance."
        ),
    )
    time_zone = forms.ChoiceField(label=_("Time zone"), initial="Europe/Paris", widget=forms.Select(attrs=_SELECT))
    made_max = forms.IntegerField(
        label=_("Make at most"),
        min_value=1,
        max_value=MADE_MAX,
        initial=300,
        widget=forms.NumberInput(attrs={"class": "form-control"}),
        help_text=_("Organisations in all. There it stops, and operators are told: a directory may run away."),
    )

    def __init__(self, *args: Any, rule: OrganisationRule | None = None, **options: Any) -> None:
        if rule is not None:
            options["initial"] = {name: getattr(rule, name) for name in self.base_fields}
        super().__init__(*args, **options)
        kept = rule.tier if rule else ""
        tiers = [(tier.code, tier.name) for tier in all_tiers() if _may_be_chosen(tier, kept)]
        others = OrganisationRule.objects.filter(joins="").exclude(pk=rule.pk if rule else 0).order_by("pattern")
        joined = [("", _("Its own")), *((one.code, _("Those of %(rule)s") % {"rule": one.pattern}) for one in others)]
        offered: dict[str, list[tuple[Any, Any]]] = {
            "tier": [("", "–"), *tiers],
            "time_zone": [*time_zone_choices()],
            "joins": joined,
        }
        for name, choices in offered.items():
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = choices

    @property
    def main(self) -> list[forms.BoundField]:
        """What a rule says of groups."""
        return [self[name] for name in ("pattern", "role", "joins")]

    @property
    def making(self) -> list[forms.BoundField]:
        """What it makes."""
        return [self[name] for name in ("makes", "tier", "name_pattern", "id_pattern", "time_zone", "made_max")]

    @property
    def wish(self) -> RuleWish:
        """What was typed."""
        return RuleWish(**self.cleaned_data | {"role": Role(self.cleaned_data["role"])})


def _may_be_chosen(tier: Tier, kept: str) -> bool:
    return tier.withdrawn_at is None or tier.code == kept


class GroupListForm(LinesForm):
    """Names of groups: a file, or pasted text."""

    file = forms.FileField(
        label=_("Text or CSV file"),
        required=False,
        widget=forms.FileInput(attrs={"class": "form-control", "accept": ".csv,.txt"}),
    )
