"""What a tenant demands of all its keys. Asked when a key is made, changed or rotated: a rule that is made stricter
touches no key that is there, until somebody touches it.
"""

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller
from identity.errors import Forbidden, Invalid
from identity.key_policy import KeyPolicy, cleaned_ranges, ranges_lie_within
from identity.models import Tenant, TenantKeyRules
from identity.permissions import Permission

LIFE_DAYS_MAX = 3_650  # ten years: longer is "for ever"
Creators = TenantKeyRules.Creators


@dataclass(frozen=True, slots=True)
class KeyRules:
    """longest_life_days: of a secret, from its making; None: for ever. default_life_days: what a form proposes.

    ip_ranges: every key is tied to some of these addresses; empty: to none
    creators: who makes keys; ADMINISTRATORS: only people who may change these rules, and no key does
    personal_keys: whether a key may be a person's
    """

    longest_life_days: int | None = None
    default_life_days: int | None = None
    ip_ranges: tuple[str, ...] = ()
    creators: Creators = Creators.DEVELOPERS
    personal_keys: bool = True

    def cleaned(self) -> "KeyRules":
        """The same rules in their one form. Raises `Invalid`."""
        for field in ("longest_life_days", "default_life_days"):
            days = getattr(self, field)
            if days is not None and not 1 <= days <= LIFE_DAYS_MAX:
                raise Invalid(field, _("must be from 1 to %(count)s days, or none") % {"count": LIFE_DAYS_MAX})
        longest, default = self.longest_life_days, self.default_life_days
        if longest is not None and default is not None and default > longest:
            raise Invalid("default_life_days", _("must not be more than the longest life"))
        return replace(self, ip_ranges=cleaned_ranges(self.ip_ranges))

    def latest_end(self, since: datetime) -> datetime | None:
        """When a secret made at `since` has to end; None: never."""
        return since + timedelta(days=self.longest_life_days) if self.longest_life_days else None

    def proposed_end(self, now: datetime) -> datetime | None:
        """When a key made now ends where nobody says when; None: never."""
        days = self.default_life_days or self.longest_life_days
        return now + timedelta(days=days) if days else None

    def completed(self, policy: KeyPolicy) -> KeyPolicy:
        """The policy of a key that is tied to no addresses of its own is tied to those of the tenant."""
        return policy if policy.ip_ranges else replace(policy, ip_ranges=self.ip_ranges)

    def require_may_create(self, maker: Caller) -> None:
        """Raises `Forbidden`."""
        if self.creators == Creators.ADMINISTRATORS:
            maker.require(Permission.KEY_RULES_UPDATE)
            if maker.key is not None:
                raise Forbidden("creators")

    def require_within(self, policy: KeyPolicy, *, since: datetime, is_personal: bool) -> None:
        """Raises `Invalid`, naming the field, where a key with this policy and a secret made at `since` may not be."""
        if is_personal and not self.personal_keys:
            raise Invalid("owner", _("must be empty: the key policy of your organisation allows no personal keys"))
        latest = self.latest_end(since)
        if latest is not None and (policy.expires_at is None or policy.expires_at > latest):
            days = self.longest_life_days
            message = _(
                "must be at most %(days)s days after the secret was made, by the key policy of your organisation"
            )
            raise Invalid("expires_at", message % {"days": days})
        if self.ip_ranges and not (policy.ip_ranges and ranges_lie_within(policy.ip_ranges, self.ip_ranges)):
            raise Invalid("ip_ranges", _("must lie within those of the key policy of your organisation"))


def rules_of(tenant: Tenant) -> KeyRules:
    """What the tenant demands of its keys."""
    row = TenantKeyRules.objects.filter(tenant=tenant).first()
    if row is None:
        return KeyRules()
    return KeyRules(
        longest_life_days=row.longest_life_days,
        default_life_days=row.default_life_days,
        ip_ranges=tuple(row.ip_ranges),
        creators=Creators(row.creators),
        personal_keys=row.personal_keys,
    )


def set_key_rules(*, by: Caller, rules: KeyRules) -> KeyRules:
    """Demand this of the tenant's keys from now on. Answers the rules in their one form.

    Raises `Forbidden`, `Invalid`.
    """
    by.require(Permission.KEY_RULES_UPDATE)
    rules = rules.cleaned()
    with transaction.atomic():
        Tenant.objects.select_for_update(no_key=True).get(pk=by.tenant.pk)
        before = rules_of(by.tenant)
        if before == rules:
            return rules
        TenantKeyRules.objects.update_or_create(tenant=by.tenant, defaults=_columns_of(rules))
        detail = {"before": _columns_of(before), "after": _columns_of(rules)}
        audit.record(tenant=by.tenant, actor=by.actor, action="key_rules.changed", target=by.tenant, detail=detail)
    return rules


def _columns_of(rules: KeyRules) -> dict[str, object]:
    return asdict(rules) | {"ip_ranges": list(rules.ip_ranges), "creators": rules.creators.value}
