"""Organisations out of names of groups: what would come of each name, making them now, and at a sign-in.

The provider tells no list of its groups. So who signs in brings theirs, and an operator may bring a list. Either way
only what is not there is made: a tenant that there is already is neither changed nor taken over, whatever a group is
called.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from django.db import transaction
from django.db.models import Count
from django.utils.translation import gettext as _

from billing.tenants.tenants import WISHES_MAX, Outcome, Plan, TenantWish, plan_tenants, put_tenant
from identity.audit import Actor
from identity.errors import Conflict, IdentityError, Invalid
from identity.group_feeds import LETS_OTHERS_IN, Meaning, lock_rules, meaning_of, organisation_rules, start_feed
from identity.group_patterns import GROUP_LENGTH_MAX, Pattern, name_from
from identity.models import GroupFeed, IdentityProvider, OrganisationRule, Tenant
from identity.notices import notify
from identity.operators import Operator
from identity.permissions import OperatorPermission

# Of a sign-in: a person waits for it. Who brings more new ones has them made at the next ones.
MADE_AT_A_SIGN_IN_MAX = 10
_US = Operator(Actor.system("organisation_rules"), frozenset({OperatorPermission.TENANT_CREATE}))

logger = logging.getLogger("beffroi.organisation_rules")


class GroupOutcome(StrEnum):
    """What comes of a group. MADE: its organisation is made. THERE: it is there, and rules feed it. REFUSED: a rule is
    about it, and gives nothing. IGNORED: no rule is about it.
    """

    MADE = "made"
    THERE = "there"
    REFUSED = "refused"
    IGNORED = "ignored"


class RuleIsFull(Conflict):
    """The rule has made as many organisations as it may."""

    def __init__(self, rule: OrganisationRule) -> None:
        super().__init__(
            _("the rule has made %(count)s organisations, and may make no more") % {"count": rule.made_max}
        )


class NotFed(Conflict):
    """The organisation is there, and nobody said that rules feed it."""

    def __init__(self) -> None:
        super().__init__(_("an organisation with this external id is there, and is not fed by groups"))


class AnothersFeed(Conflict):
    """The organisation is another rule's."""

    def __init__(self) -> None:
        super().__init__(_("an organisation with this external id is there, and another rule feeds it"))


class NotMade(Conflict):
    """No rule about the group makes organisations."""

    def __init__(self) -> None:
        super().__init__(_("there is no such organisation, and the rule makes none"))


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """What comes of a group of that name, and why. `word`: the organisation's external id, or, where that is none, what
    stands for it; "" where no rule fits.

    rule: decides on the group; maker: makes its organisation, by this group or by another of the same word
    feedable_by: an organisation is there that an operator may let the rule of this code feed; "": none
    """

    group: str
    outcome: GroupOutcome
    rule: OrganisationRule | None = None
    word: str = ""
    tenant: Tenant | None = None
    maker: OrganisationRule | None = None
    wish: TenantWish | None = None
    error: IdentityError | None = None
    feedable_by: str = ""

    @property
    def fault(self) -> str:
        """Why it is refused, for people; "" where it is not."""
        return f"{self.error.field}: {self.error.message}" if isinstance(self.error, Invalid) else str(self.error or "")


class _New(NamedTuple):
    """An organisation that is not there: the rule that makes it, how it is to be, and why not."""

    maker: OrganisationRule
    wish: TenantWish
    error: IdentityError | None


def plan_groups(*, by: Operator, groups: Sequence[str]) -> list[GroupPlan]:
    """What would come of groups of these names, in their order, each name once. Writes nothing.

    Raises `Forbidden`, `Invalid` (too many).
    """
    by.require(OperatorPermission.TENANT_CREATE)
    names = list(dict.fromkeys(groups))
    if len(names) > WISHES_MAX:
        raise Invalid("groups", _("must be at most %(count)s at once") % {"count": WISHES_MAX})
    return _planned(by, names)


def make_organisations(*, by: Operator, groups: Sequence[str]) -> list[GroupPlan]:
    """Make the organisations of groups of these names that are not there, each in a transaction of its own; the same
    again does what is missing. Raises as `plan_groups`.
    """
    return _made(by, plan_groups(by=by, groups=groups))


def make_at_sign_in(provider: IdentityProvider, groups: frozenset[str]) -> None:
    """Make what somebody's groups of the shared provider say and is not there; another provider's make nothing.

    Nothing that goes wrong with it keeps the person from coming in.
    """
    if provider.audience != IdentityProvider.Audience.SHARED or not groups:
        return
    plans = _planned(_US, sorted(groups))
    words = list(dict.fromkeys(plan.word for plan in plans if plan.outcome == GroupOutcome.MADE))
    later = set(words[MADE_AT_A_SIGN_IN_MAX:])
    if later:
        logger.warning("somebody's groups would make %s organisations; %s wait", len(words), len(later))
    for plan in _made(_US, [plan for plan in plans if plan.word not in later]):
        if plan.error is not None and plan.maker is not None:
            logger.warning("the organisation %s was not made: %s", plan.word, type(plan.error).__name__)


def read_groups(text: str) -> list[str]:
    """Names of groups, one a line; of a table, its first column. Empty lines count for nothing."""
    lines = (line.strip() for line in text.lstrip("\ufeff").splitlines())
    names = (line.split(";")[0].split(",")[0].split("\t")[0].strip().strip('"').strip() for line in lines)
    return [name for name in names if name]


def _planned(by: Operator, names: Sequence[str]) -> list[GroupPlan]:
    rules = organisation_rules()
    told = {name: meaning_of(rules, name) for name in names if len(name) <= GROUP_LENGTH_MAX} if rules else {}
    meanings = [meaning for meaning in told.values() if meaning is not None and meaning.key]
    keys = {meaning.key for meaning in meanings}
    feeds = {feed.word: feed for feed in GroupFeed.objects.select_related("tenant").filter(word__in=keys)}
    strangers = _not_fed(keys - feeds.keys())
    new = _new_ones(by, meanings, keys - feeds.keys() - strangers.keys())
    return [_plan_of(name, told.get(name), feeds, strangers, new) for name in names]


def _plan_of(
    name: str,
    meaning: Meaning | None,
    feeds: dict[str, GroupFeed],
    strangers: dict[str, Tenant],
    new: dict[str, _New],
) -> GroupPlan:
    if meaning is None:
        return GroupPlan(name, GroupOutcome.IGNORED)
    rule, root, key = meaning.rule, meaning.root, meaning.key
    refused = GroupPlan(name, GroupOutcome.REFUSED, rule, key or meaning.word)
    if not key:
        told = _("“%(word)s” must be 1 to 63 letters, digits and . _ -, a letter or digit at both ends")
        return replace(refused, error=Conflict(told % {"word": root.id_pattern.replace("*", meaning.word)}))
    if key in feeds:
        return _into(refused, rule, root, feeds[key])
    if key in strangers:
        return replace(refused, tenant=strangers[key], error=NotFed(), feedable_by=root.code)
    if key not in new:
        return replace(refused, error=NotMade())
    maker, wish, error = new[key]
    if maker != root:
        return replace(refused, error=AnothersFeed())
    outcome = GroupOutcome.REFUSED if error else GroupOutcome.MADE
    return GroupPlan(name, outcome, rule, key, maker=maker, wish=wish, error=error)


def _into(refused: GroupPlan, rule: OrganisationRule, root: OrganisationRule, feed: GroupFeed) -> GroupPlan:
    """A group of an organisation that a rule feeds."""
    refused = replace(refused, tenant=feed.tenant)
    if feed.rule_id is None:
        return replace(refused, error=NotFed(), feedable_by=root.code)
    if feed.rule_id != root.pk:
        return replace(refused, error=AnothersFeed())
    if feed.tenant.status == Tenant.Status.SUSPENDED:
        return replace(refused, error=Conflict(_("the organisation is suspended: nobody gets in or gets more")))
    if rule.role in LETS_OTHERS_IN and not feed.gives_administrators:
        told = _("the organisation had owners before: they say who owns and administers it")
        return replace(refused, error=Conflict(told))
    return replace(refused, outcome=GroupOutcome.THERE)


def _not_fed(words: Iterable[str]) -> dict[str, Tenant]:
    """Tenants that the operator's systems call so, and that no rule may touch."""
    return {str(tenant.external_id): tenant for tenant in Tenant.objects.filter(external_id__in=list(words))}


def _new_ones(by: Operator, meanings: list[Meaning], keys: set[str]) -> dict[str, _New]:
    """Those of the keys that a rule makes an organisation of; where several do, the one that says most of the name."""
    by_weight = sorted(meanings, key=lambda one: Pattern.of(one.rule.pattern).weight)
    makers = {one.key: one for one in by_weight if one.rule.makes and one.key in keys}
    if not makers:
        return {}
    room = _room({one.rule for one in makers.values()})
    new = {}
    for plan in plan_tenants(by=by, wishes=[_wish(makers[key]) for key in sorted(makers)]):
        rule, error = makers[plan.wish.external_id].rule, _error_of(plan)
        if error is None and room[rule.pk] <= 0:
            error = RuleIsFull(rule)
        room[rule.pk] -= error is None
        new[plan.wish.external_id] = _New(rule, plan.wish, error)
    return new


def _error_of(plan: Plan) -> IdentityError | None:
    """What is there already is never changed."""
    if plan.error is None and plan.outcome != Outcome.MADE:
        return NotFed()
    return plan.error


def _wish(meaning: Meaning) -> TenantWish:
    """No slug of ours: `put_tenant` would take over a tenant that has it."""
    rule, name = meaning.rule, name_from(meaning.rule.name_pattern, meaning.word)
    return TenantWish(external_id=meaning.key, name=name, tier=rule.tier, time_zone=rule.time_zone)


def _room(rules: set[OrganisationRule]) -> dict[int, int]:
    feeds = GroupFeed.objects.filter(rule__in=rules, is_made=True)
    made = dict(feeds.values_list("rule_id").annotate(Count("pk")).order_by())
    return {rule.pk: rule.made_max - made.get(rule.pk, 0) for rule in rules}


def _made(by: Operator, plans: list[GroupPlan]) -> list[GroupPlan]:
    """As planned; a word that several groups have is made once."""
    groups: dict[str, list[str]] = {}
    for plan in plans:
        if plan.outcome == GroupOutcome.MADE:
            groups.setdefault(plan.word, []).append(plan.group)
    done = {word: _make(by, word, names) for word, names in groups.items()}
    outcomes = [
        replace(plan, **done[plan.word]._asdict()) if plan.group in groups.get(plan.word, ()) else plan
        for plan in plans
    ]
    for rule in {plan.maker for plan in outcomes if isinstance(plan.error, RuleIsFull)}:
        _tell_full(rule)
    return outcomes


class _Done(NamedTuple):
    """What came of a word."""

    outcome: GroupOutcome
    tenant: Tenant | None = None
    error: IdentityError | None = None


def _make(by: Operator, word: str, groups: list[str]) -> _Done:
    try:
        with transaction.atomic():
            lock_rules()
            return _make_locked(by, word, groups)
    except IdentityError as error:
        return _Done(GroupOutcome.REFUSED, error=error)


def _make_locked(by: Operator, word: str, groups: list[str]) -> _Done:
    """Looks again: somebody else of the department may have signed in at the same moment."""
    feed = GroupFeed.objects.select_related("tenant").filter(word=word).first()
    if feed is not None:
        return _Done(GroupOutcome.THERE, feed.tenant)
    rules = organisation_rules()
    meanings = [meaning for group in groups if (meaning := meaning_of(rules, group)) is not None]
    maker = next((meaning for meaning in meanings if meaning.key == word and meaning.rule.makes), None)
    if maker is None:
        raise NotMade
    if Tenant.objects.filter(external_id=word).exists():
        raise NotFed
    if _room({maker.rule})[maker.rule.pk] <= 0:
        raise RuleIsFull(maker.rule)
    made = put_tenant(by=by, wish=_wish(maker))
    if made.outcome != Outcome.MADE or made.tenant is None:
        raise NotFed  # it came at this moment by another door; what was changed of it is rolled back
    feed = GroupFeed(tenant=made.tenant, word=word, rule=maker.rule, gives_administrators=True, is_made=True)
    start_feed(by=by, feed=feed)
    return _Done(GroupOutcome.MADE, made.tenant)


def _tell_full(rule: OrganisationRule | None) -> None:
    """Operators hear of it once, until they raise it."""
    if rule is not None:
        context = {"pattern": rule.pattern, "count": rule.made_max}
        once_key = f"organisation_rule.full:{rule.pk}:{rule.made_max}"
        notify(None, "organisation_rule.full", context=context, once_key=once_key)
