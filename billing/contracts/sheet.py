"""A tenant's contract to be read: each value with where it comes from, what is agreed and planned, what its bill has
beside usage. Reads only; money is nano-EUR.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.db.models import Q, Subquery

from billing.contracts.agreements import agreements_of, day_of, last_day_of, names_of
from billing.contracts.contracts import agreed_kinds, contract_in_force, terms_brought
from billing.contracts.terms import terms_of
from billing.models import Agreement, Contract, ContractTerm, PriceVersion
from identity.models import Tenant

CONTRACTS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class BroughtLimit:
    """A limit that the contract brought, or with `amount` None one of the tier's that was agreed away."""

    what: str
    window: str
    amount: int | None
    is_agreed: bool


@dataclass(frozen=True, slots=True)
class Dated:
    """An agreement with its days as the tenant counts them; `last_day` None: it has no end. `models`: by name."""

    agreement: Agreement
    first_day: date
    last_day: date | None
    models: Sequence[str]

    @property
    def is_planned(self) -> bool:
        """Whether it has not begun."""
        return self.agreement.begun_at is None


@dataclass(frozen=True, slots=True)
class ContractSheet:
    """The contract in force. `agreements`: the one in force first, then those to come; `terms`: running and to come."""

    contract: Contract
    cap_nano_eur: int | None
    limits: Sequence[BroughtLimit]
    agreements: Sequence[Dated]
    terms: Sequence[ContractTerm]

    @property
    def are_prices_agreed(self) -> bool:
        """Whether the price list is not that of the tier."""
        return are_prices_agreed(self.contract)

    @property
    def is_cap_agreed(self) -> bool:
        """Whether the cap is not the tier's."""
        return self.contract.agreement is not None and self.contract.agreement.is_cap_agreed


def are_prices_agreed(contract: Contract) -> bool:
    """Whether the contract has a price list of its own. Its tier, list and agreement are loaded."""
    if contract.agreement is not None and contract.agreement.rate_card_id is not None:
        return True
    own = contract.tier.rate_card_id
    return contract.rate_card_id != own if own else not contract.rate_card.is_reference


def prices_left_behind(contract: Contract) -> int | None:
    """How many prices the tier's list got since the contract's own one was begun, which does not follow it; those to
    come included. None: its price list is not agreed, or is the tier's. One query, where it is agreed.
    """
    own, of_tier = contract.rate_card_id, contract.tier.rate_card_id
    is_the_tiers = own == of_tier if of_tier else contract.rate_card.is_reference
    if contract.agreement is None or contract.agreement.rate_card_id is None or is_the_tiers:
        return None
    of_the_tier = Q(rate_card=of_tier) if of_tier else Q(rate_card__is_reference=True)
    begun = PriceVersion.objects.filter(rate_card=own).order_by("created_at").values("created_at")[:1]
    return PriceVersion.objects.filter(of_the_tier, created_at__gt=Subquery(begun)).count()


def contract_sheet(tenant: Tenant) -> ContractSheet | None:
    """None: no contract is in force. Five queries."""
    contract = contract_in_force(tenant)
    if contract is None:
        return None
    terms = terms_brought(tenant)
    agreed = agreed_kinds(contract.agreement)
    limits = [
        BroughtLimit(one["what"], one["window"], one["amount"], (one["what"], one["window"]) in agreed)
        for one in terms.limits
    ]
    gone = contract.agreement.limits if contract.agreement else []
    limits += [BroughtLimit(one["what"], one["window"], None, is_agreed=True) for one in gone if one["amount"] is None]
    found = [dated(one, tenant) for one in agreements_of(tenant)]
    return ContractSheet(contract, terms.cap_nano_eur, limits, found, terms_of(tenant))


def dated(agreement: Agreement, tenant: Tenant) -> Dated:
    """With its days in the tenant's time zone."""
    days = day_of(agreement.starts_at, tenant), last_day_of(agreement, tenant)
    return Dated(agreement, *days, names_of(agreement.model_ids))


def contracts_of(tenant: Tenant) -> list[Contract]:
    """The newest of its contracts, that in force first."""
    found = Contract.objects.filter(tenant=tenant).select_related("tier", "rate_card", "agreement")
    return list(found.order_by("-id")[:CONTRACTS_SHOWN])
