"""The offers that an organisation may subscribe to. They are data: `data/tiers.json`, loaded with the prices, and what
operators make of it (`billing/contracts/tier_changes.py`), which the file leaves alone.

A change of a tier reaches the contracts made from it when they are started anew.
"""

import json
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from billing.limits.limits import check_limit
from billing.models import Tier
from billing.money import NotAnAmount, parse_eur
from identity import audit
from identity.errors import Invalid, NotFound

TIERS = Path(__file__).parents[1] / "data" / "tiers.json"
# Of the account on which the platform probes its models: without limits and cap, no offer.
PLATFORM_TIER = "platform"
_COLUMNS = ("name", "monthly_cap_nano_eur", "prepaid_nano_eur", "limits", "by_agreement")


def load_tiers(path: Path = TIERS, *, actor: audit.Actor) -> list[str]:
    """Create and change the file's tiers, all or nothing; gives the codes of those that differed. Raises Invalid.

    A tier that an operator made or changed stays as it is.
    """
    differed = []
    with transaction.atomic():
        for listed in _read_tiers(path):
            known = Tier.objects.filter(code=listed.code).first()
            same = known is not None and all(getattr(known, name) == getattr(listed, name) for name in _COLUMNS)
            if known is not None and (same or known.is_operators):
                continue
            before = _told(known) if known else None
            if known is not None:
                listed.pk, listed.withdrawn_at, listed.rate_card = known.pk, known.withdrawn_at, known.rate_card
                listed.version = next_version(known, limits=listed.limits, cap_nano_eur=listed.monthly_cap_nano_eur)
            listed.save()
            differed.append(listed.code)
            detail = {"code": listed.code}
            audit.record(
                actor=actor, action="tier.loaded", target=listed, detail=detail, before=before, after=_told(listed)
            )
    return differed


def tier_by_code(code: str) -> Tier:
    """The tier, or NotFound."""
    tier = Tier.objects.filter(code=code).first()
    if tier is None:
        raise NotFound(f"There is no tier {code}.")
    return tier


def all_tiers() -> QuerySet[Tier]:
    """The tiers that organisations have or may have, those withdrawn included, by id."""
    return Tier.objects.exclude(code=PLATFORM_TIER).order_by("id")


def offered_tiers() -> QuerySet[Tier]:
    """The tiers that a contract may start on, by id."""
    return all_tiers().filter(withdrawn_at=None)


def next_version(tier: Tier, *, limits: list[dict[str, Any]], cap_nano_eur: int | None) -> int:
    """The tier's version once it has these limits and this cap: another one where contracts have something else."""
    is_same = tier.limits == limits and tier.monthly_cap_nano_eur == cap_nano_eur
    return tier.version if is_same else tier.version + 1


def _told(tier: Tier) -> dict[str, Any]:
    return {name: getattr(tier, name) for name in _COLUMNS}


def _read_tiers(path: Path) -> list[Tier]:
    try:
        return [_tier(item) for item in json.loads(path.read_text(encoding="utf-8"))["tiers"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise Invalid("tiers", f"{path.name}: a member is missing or of a wrong type: {error}") from error
    except ValueError as error:
        raise Invalid("tiers", f"{path.name}: {error}") from error


def _tier(item: dict[str, Any]) -> Tier:
    limits = [{"what": limit["what"], "window": limit["window"], "amount": limit["amount"]} for limit in item["limits"]]
    for limit in limits:
        check_limit(**limit)
    return Tier(
        code=item["code"],
        name=item["name"],
        monthly_cap_nano_eur=_amount(item.get("monthly_cap")),
        prepaid_nano_eur=_amount(item.get("prepaid")),
        limits=limits,
        by_agreement=item.get("by_agreement", False),
    )


def _amount(text: str | None) -> int | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise NotAnAmount('an amount must be text, such as "200"')
    return parse_eur(text)
