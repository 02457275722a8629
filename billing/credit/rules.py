"""How long credit lasts: the operator's rule for all tiers, and for single ones. It counts for what is recorded from
then on; lots keep the end that they were given.
"""

from typing import NamedTuple

from django.db import transaction
from django.utils.translation import gettext as _

from billing.models import CreditRule, Tier
from identity import audit
from identity.errors import Invalid
from identity.operators import Operator
from identity.permissions import OperatorPermission

MONTHS_MAX = 120


class Rule(NamedTuple):
    """Of a tier, or (`tier` None) of those that have none. months None: credit never ends."""

    tier: Tier | None
    months: int | None


def credit_rules() -> list[Rule]:
    """The general one first, which is "for ever" until it was set; then those of single tiers."""
    found = CreditRule.objects.select_related("tier").order_by("tier_id")
    rules = [Rule(one.tier, one.months) for one in found]
    general = next((rule for rule in rules if rule.tier is None), Rule(None, None))
    return [general, *(rule for rule in rules if rule.tier is not None)]


def set_credit_rule(*, by: Operator, rule: Rule) -> None:
    """Let credit of the tier last so long. Raises `Forbidden`, `Invalid`."""
    by.require(OperatorPermission.CONTRACT_UPDATE)
    if rule.months is not None and not (type(rule.months) is int and 1 <= rule.months <= MONTHS_MAX):
        raise Invalid("months", _("A whole number from 1 to %(highest)s.") % {"highest": MONTHS_MAX})
    with transaction.atomic():
        before = CreditRule.objects.filter(tier=rule.tier).first()
        CreditRule.objects.update_or_create(tier=rule.tier, defaults={"months": rule.months})
        _tell(by, rule.tier, {"months": before.months} if before else None, {"months": rule.months})


def remove_credit_rule(*, by: Operator, tier: Tier | None) -> bool:
    """Let credit of the tier follow the general rule; without one it never ends. False where it had no rule."""
    by.require(OperatorPermission.CONTRACT_UPDATE)
    with transaction.atomic():
        found = CreditRule.objects.select_for_update().filter(tier=tier).first()
        if found is None:
            return False
        found.delete()
        _tell(by, tier, {"months": found.months}, None)
    return True


def _tell(
    by: Operator, tier: Tier | None, before: dict[str, int | None] | None, after: dict[str, int | None] | None
) -> None:
    target = audit.Target("credit rule", tier.code if tier else "")
    audit.record(actor=by.actor, action="credit.rule_set", target=target, before=before, after=after)
