"""Organisation rules that only one test knows, and people who sign in with groups."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from billing.models import Tier
from billing.prices.price_book import load_prices
from billing.tenants.group_organisations import make_at_sign_in
from billing.tenants.organisation_rules import RuleWish, put_rule
from identity import group_rules
from identity.models import GroupFeed, IdentityProvider, Membership, OrganisationRule, Person, Role, Tenant
from tests.support.ledger import unique
from tests.support.operators import RUNS
from tests.support.people import TESTS


@dataclass(frozen=True)
class Directory:
    """The groups of a house begin with `prefix`; its rules make organisations of `tier`."""

    prefix: str
    tier: str

    @property
    def root(self) -> str:
        """The code of its rule "*"."""
        return f"{self.prefix}-any"

    def _has_root(self) -> bool:
        return OrganisationRule.objects.filter(code=self.root).exists()

    def rule(self, pattern: str = "*", role: Role = Role.DEVELOPER, **wish: Any) -> OrganisationRule:
        """A rule about this house's groups. It makes organisations unless told otherwise; else it joins the rule "*",
        if it is another one.
        """
        values: dict[str, Any] = {"makes": True, "tier": self.tier} | wish
        is_another = pattern != "*" and not values["makes"]
        values.setdefault("joins", self.root if is_another and self._has_root() else "")
        code = self.root if pattern == "*" else f"{self.prefix}-{pattern}".replace("*", "any").lower()
        return put_rule(by=RUNS, code=code, wish=RuleWish(pattern=self.group(pattern), role=role, **values))[0]

    def group(self, name: str) -> str:
        """The name of a group of this house."""
        return f"{self.prefix}-{name}"

    def signs_in(self, person: Person, *names: str) -> None:
        """The person signs in through the shared provider, with these groups of this house."""
        groups = frozenset(self.group(name) for name in names)
        make_at_sign_in(shared_provider(), groups)
        group_rules.apply(person, shared_provider(), groups)


@contextmanager
def directory() -> Iterator[Directory]:
    """A house; its rules go with it: there are only so many for everybody."""
    load_prices(actor=TESTS)
    tier = Tier.objects.create(code=unique("s").lower().replace("_", "-")[:32], name="Small", limits=[])
    prefix = unique("h").lower().replace("_", "-")
    try:
        yield Directory(prefix, tier.code)
    finally:
        OrganisationRule.objects.filter(pattern__startswith=prefix).delete()


def shared_provider() -> IdentityProvider:
    """The one that all tenants share; its settings do not matter here."""
    audience = IdentityProvider.Audience.SHARED
    return IdentityProvider.objects.get_or_create(audience=audience, tenant=None, defaults={"name": "All"})[0]


def fed(word: str) -> Tenant:
    """The tenant that groups of this word feed."""
    return GroupFeed.objects.get(word=word).tenant


def role_in(person: Person, tenant: Tenant) -> str | None:
    """The person's role there."""
    return Membership.objects.filter(person=person, tenant=tenant).values_list("role", flat=True).first()
