"""The offers: data that is loaded at every start."""

import json
from pathlib import Path
from typing import Any

import pytest

from billing.contracts.tiers import load_tiers, tier_by_code
from billing.models import Tier
from identity.audit import Actor
from identity.errors import Invalid, NotFound
from tests.support.ledger import unique

SYSTEM = Actor.system("test")


@pytest.fixture
def offers(database: None) -> None:
    load_tiers(actor=SYSTEM)


@pytest.mark.parametrize(
    ("code", "cap", "prepaid", "an_hour", "a_day"),
    [
        ("tier-1", 1_000, 200, 150_000, 3_600_000),
        ("tier-2", 3_000, 500, 300_000, 7_200_000),
        ("tier-3", 5_000, 1_000, 450_000, 10_800_000),
        ("tier-4", 10_000, 4_000, 600_000, 14_400_000),
    ],
)
def test_the_tiers_are_those_of_the_reference_service(
    offers: None, code: str, cap: int, prepaid: int, an_hour: int, a_day: int
) -> None:
    tier = tier_by_code(code)
    assert (tier.monthly_cap_nano_eur, tier.prepaid_nano_eur) == (cap * 10**9, prepaid * 10**9)
    limits = {(limit["what"], limit["window"]): limit["amount"] for limit in tier.limits}
    assert limits == {
        ("requests", "minute"): 1_000,
        ("output_tokens", "hour"): an_hour,
        ("output_tokens", "day"): a_day,
    }


def test_the_standard_tenant_has_1000_requests_a_minute_and_no_cap(offers: None) -> None:
    tier = tier_by_code("standard")
    assert tier.limits == [{"what": "requests", "window": "minute", "amount": 1_000}]
    assert tier.monthly_cap_nano_eur is None
    assert not tier.by_agreement


def test_what_has_no_limits_needs_an_agreement(offers: None) -> None:
    assert tier_by_code("unlimited").limits == []
    assert tier_by_code("unlimited").by_agreement
    assert tier_by_code("monthly").monthly_cap_nano_eur is None


def test_an_unknown_tier_is_not_found(offers: None) -> None:
    with pytest.raises(NotFound):
        tier_by_code("gold")


def test_loading_again_changes_only_what_differs(offers: None, tmp_path: Path) -> None:
    assert load_tiers(actor=SYSTEM) == []
    code = unique("t")[:32]
    path = tmp_path / "tiers.json"
    path.write_text(json.dumps({"tiers": [{"code": code, "name": "A", "limits": []}]}))
    assert load_tiers(path, actor=SYSTEM) == [code]
    path.write_text(json.dumps({"tiers": [{"code": code, "name": "B", "limits": [], "monthly_cap": "1.5"}]}))
    assert load_tiers(path, actor=SYSTEM) == [code]
    assert Tier.objects.get(code=code).monthly_cap_nano_eur == 1_500_000_000


@pytest.mark.parametrize(
    ("tier", "problem"),
    [
        ({"name": "A", "limits": []}, "missing"),
        ({"code": "a", "name": "A", "limits": [{"what": "requests", "window": "none", "amount": 1}]}, "window"),
        ({"code": "a", "name": "A", "limits": [{"what": "smiles", "window": "hour", "amount": 1}]}, "what"),
        ({"code": "a", "name": "A", "limits": [], "monthly_cap": 5}, "must be text"),
    ],
)
def test_a_tier_that_makes_no_sense_is_refused(
    database: None, tmp_path: Path, tier: dict[str, Any], problem: str
) -> None:
    path = tmp_path / "tiers.json"
    path.write_text(json.dumps({"tiers": [tier]}))
    with pytest.raises(Invalid, match=problem):
        load_tiers(path, actor=SYSTEM)
