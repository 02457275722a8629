"""The operator's organisation rules: which groups of the shared provider are an organisation, and what its people are.

A rule is written, changed and removed here; `billing/tenants/group_organisations.py` makes organisations by it,
`identity/group_feeds.py` gives memberships by it at each sign-in.
"""

import re
from dataclasses import dataclass, fields, replace
from typing import Any

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils.text import slugify
from django.utils.translation import gettext as _

from billing.contracts.tiers import offered_tiers
from identity import audit
from identity.errors import Conflict, Invalid, NotFound
from identity.group_feeds import lock_rules
from identity.group_patterns import clean_pattern, is_word
from identity.models import GroupFeed, Membership, OrganisationRule, Role
from identity.operators import Operator
from identity.permissions import OperatorPermission
from identity.tenants import require_time_zone
from identity.wording import clean_name

RULES_MAX = 10  # each is held against each group of who signs in, and a person has to see through all of them
MADE_MAX = 5_000  # organisations by one rule: more is no house's departments
NAME_PATTERN_LENGTH_MAX = 120  # with the longest word it is a name
_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class RuleWish:
    """How a rule is to be.

    pattern: a group's name with one `*`, which stands for the organisation; role: what the group's members are there
    makes: also the organisations that there are not, with a contract of `tier`, `made_max` in all
    name_pattern: what they are called, with one `*` for what stands in the group's name; id_pattern: their external id
    joins: the code of the rule whose organisations this one is about, making none; "": its own
    """

    pattern: str
    role: Role
    makes: bool = False
    tier: str = ""
    time_zone: str = "Europe/Paris"
    name_pattern: str = "*"
    made_max: int = 300
    joins: str = ""
    id_pattern: str = "*"


def rules_with_counts() -> QuerySet[OrganisationRule]:
    """All rules by pattern, each with how many organisations it `made` that it feeds still."""
    return OrganisationRule.objects.annotate(made=Count("feeds", filter=Q(feeds__is_made=True))).order_by("pattern")


def rule_by_code(code: str) -> OrganisationRule:
    """One of `rules_with_counts`. Raises `NotFound`."""
    found = rules_with_counts().filter(code=code).first()
    if found is None:
        raise NotFound("rule")
    return found


def put_rule(*, by: Operator, code: str, wish: RuleWish) -> tuple[OrganisationRule, bool]:
    """Make the rule or change it; gives it, and whether it is new. Memberships follow at the next sign-in of each.

    Raises `Forbidden`, `Invalid`, `Conflict` (too many, or another rule has the pattern).
    """
    by.require(OperatorPermission.TENANT_CREATE)
    if not _CODE.fullmatch(code):
        raise Invalid("code", _("must be lower case letters, digits, hyphens and underscores: 63 at most"))
    with transaction.atomic():
        lock_rules()
        known = OrganisationRule.objects.filter(code=code).first()
        wanted = _columns(_cleaned(wish, kept_tier=known.tier if known else ""))
        if known is not None and wanted == _told(known):
            return known, False
        _require_family(code, wanted["joins"])
        if known is None and OrganisationRule.objects.count() >= RULES_MAX:
            raise Conflict(_("there are %(count)s rules already") % {"count": RULES_MAX})
        if OrganisationRule.objects.filter(pattern=wanted["pattern"]).exclude(code=code).exists():
            raise Conflict(_("another rule has this pattern"))
        rule, is_new = OrganisationRule.objects.update_or_create(code=code, defaults=wanted)
        _record(by, "added" if is_new else "changed", rule, before=_told(known) if known else None, after=wanted)
    return rule, is_new


def remove_rule(*, by: Operator, code: str) -> None:
    """Take a rule away. What it made stays; who is a member by it alone stops being one at the next sign-in, with all
    keys. Raises `Forbidden`, `NotFound`, `Conflict` (others join it).
    """
    by.require(OperatorPermission.TENANT_CREATE)
    with transaction.atomic():
        lock_rules()
        rule = OrganisationRule.objects.filter(code=code).first()
        if rule is None:
            raise NotFound("rule")
        if OrganisationRule.objects.filter(joins=code).exists():
            raise Conflict(_("other rules join it: remove those first"))
        _record(by, "removed", rule, before=_told(rule), after=None)
        rule.delete()


def members_at_most(role: str) -> int:
    """How many memberships with this role groups gave in organisations that rules feed: a rule gave these at most."""
    fed = Membership.objects.filter(source=Membership.Source.GROUP, tenant__group_feed__isnull=False)
    return fed.filter(provider__tenant=None, role=role).count()


def free_code(pattern: str) -> str:
    """A code for a rule of this pattern that no rule has."""
    word = slugify(pattern.replace("*", " any ").replace("/", " "))[:60].strip("-_") or "rule"
    taken = set(OrganisationRule.objects.values_list("code", flat=True))
    return next(code for code in (word, *(f"{word}-{number}" for number in range(2, 99))) if code not in taken)


def _require_family(code: str, joins: str) -> None:
    """Families have one rule that others join, and no grandchildren."""
    if not joins:
        return
    if joins == code or not OrganisationRule.objects.filter(code=joins, joins="").exists():
        raise Invalid("joins", _("must be another rule, which joins none itself"))
    if OrganisationRule.objects.filter(joins=code).exists():
        raise Conflict(_("other rules join it: it cannot join one"))
    if GroupFeed.objects.filter(rule__code=code).exists():
        raise Conflict(_("it feeds organisations itself: it cannot join another rule"))


def _cleaned(wish: RuleWish, kept_tier: str) -> RuleWish:
    """The wish as it is stored. A tier that the rule has already may be one that is offered no more."""
    name_pattern = clean_name(wish.name_pattern, "name_pattern", NAME_PATTERN_LENGTH_MAX)
    if name_pattern.count("*") != 1:
        raise Invalid("name_pattern", _("must have exactly one * in it, which stands for the organisation"))
    if not 1 <= wish.made_max <= MADE_MAX:
        raise Invalid("made_max", _("must be from 1 to %(count)s") % {"count": MADE_MAX})
    require_time_zone(wish.time_zone)
    if wish.id_pattern.count("*") != 1 or not is_word(wish.id_pattern.replace("*", "x")):
        raise Invalid(
            "id_pattern",
            _("must be letters, digits and . _ - around one *, which stands for a word of the group's name"),
        )
    if wish.joins and wish.makes:
        raise Invalid("makes", _("is for the rule that it joins"))
    tier = wish.tier if wish.makes else ""
    if wish.makes and tier != kept_tier and not offered_tiers().filter(code=tier).exists():
        raise Invalid("tier", _("is none that is offered"))
    if wish.makes and not tier:
        raise Invalid("tier", _("is none that is offered"))
    pattern = clean_pattern(wish.pattern)
    return replace(wish, pattern=pattern, role=Role(wish.role), tier=tier, name_pattern=name_pattern)


def _columns(wish: RuleWish) -> dict[str, Any]:
    return {
        "pattern": wish.pattern,
        "role": wish.role.value,
        "makes": wish.makes,
        "tier": wish.tier,
        "time_zone": wish.time_zone,
        "name_pattern": wish.name_pattern,
        "made_max": wish.made_max,
        "joins": wish.joins,
        "id_pattern": "*" if wish.joins else wish.id_pattern,
    }


def _told(rule: OrganisationRule) -> dict[str, Any]:
    return {column.name: getattr(rule, column.name) for column in fields(RuleWish)}


def _record(
    by: Operator, what: str, rule: OrganisationRule, *, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> None:
    target = audit.Target("organisation_rule", rule.code, shown=rule.pattern)
    audit.record(actor=by.actor, action=f"organisation_rule.{what}", target=target, before=before, after=after)
