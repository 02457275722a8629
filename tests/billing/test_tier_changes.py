"""Tiers as operators make them, and what their change means for contracts that there are."""

import json
from pathlib import Path

import pytest
from django.utils import timezone

from billing.contracts.contracts import contract_in_force, start_contract, terms_brought
from billing.contracts.tier_changes import TierWish, put_tier, renew_contracts, set_offered, tier_with_contracts
from billing.contracts.tiers import load_tiers, offered_tiers
from billing.limits.limits import set_limit
from billing.models import Budget, CreditOrder, Limit, Tier, TierChoice
from billing.prices.price_book import add_rate_card, load_prices
from billing.prices.visibility import Audience, set_visibility
from billing.tenants.changes import change_details, contract_change, move_tenant
from billing.tenants.tenants import Outcome, TenantWish, plan_tenants, put_tenant
from identity.errors import Conflict, Forbidden, Invalid
from identity.models import AuditEvent, OperatorRole, Tenant
from identity.operators import Operator, operator_for_person
from models_catalog.models import LanguageModel
from tests.support.ledger import make_model, unique
from tests.support.operators import RUNS
from tests.support.people import TESTS, make_operator, make_tenant

pytestmark = pytest.mark.usefixtures("database")
AN_HOUR = {"what": "tokens", "window": "hour", "amount": 1_000}
A_MINUTE = {"what": "requests", "window": "minute", "amount": 60}


@pytest.fixture(autouse=True)
def prices(database: None) -> None:
    load_prices(actor=TESTS)


def make_tier(**members: object) -> Tier:
    wish = TierWish(**{"name": "Team", "limits": [A_MINUTE], "monthly_cap_nano_eur": 10**11, **members})  # type: ignore[arg-type]
    tier, is_new, _ = put_tier(by=RUNS, code=unique("t")[:32], wish=wish)
    assert is_new
    return tier


def on(tier: Tier) -> Tenant:
    tenant = make_tenant()
    start_contract(tenant=tenant, tier=tier, actor=TESTS)
    return tenant


def brought(tenant: Tenant) -> tuple[set[tuple[str, str, int]], list[int]]:
    """The limits and the cap that the tenant's contract brings."""
    limits = Limit.objects.filter(tenant_id=tenant.pk, source="tier", is_active=True)
    caps = Budget.objects.filter(tenant_id=tenant.pk, source="tier", is_active=True)
    return set(limits.values_list("what", "window", "amount")), list(caps.values_list("limit_nano_eur", flat=True))


def last_action() -> str:
    return AuditEvent.objects.filter(tenant=None, action__startswith="tier.").order_by("-pk")[0].action


def test_a_tier_is_made_once_and_changed_where_it_differs() -> None:
    code, wish = unique("t")[:32], TierWish("Team", "For teams", 10**11, [A_MINUTE])
    tier, is_new, differed = put_tier(by=RUNS, code=code, wish=wish)
    assert (is_new, differed, tier.version, tier.is_operators) == (True, True, 1, True)
    assert put_tier(by=RUNS, code=code, wish=wish)[1:] == (False, False)
    named = put_tier(by=RUNS, code=code, wish=TierWish("Teams", "For teams", 10**11, [A_MINUTE]))
    assert (named[0].version, named[2]) == (1, True)  # a name is no term of a contract
    dearer = put_tier(by=RUNS, code=code, wish=TierWish("Teams", "For teams", 2 * 10**11, [A_MINUTE]))
    assert (dearer[0].version, dearer[0].monthly_cap_nano_eur) == (2, 2 * 10**11)
    told = AuditEvent.objects.filter(target_kind="tier", target=str(tier.pk)).order_by("pk")
    assert [event.action for event in told] == ["tier.made", "tier.changed", "tier.changed"]
    assert told[2].detail["after"]["monthly_cap_nano_eur"] == 2 * 10**11


@pytest.mark.parametrize(
    ("code", "members", "field"),
    [
        ("Gold", {}, "code"),
        ("platform", {}, "code"),
        ("gold", {"name": ""}, "name"),
        ("gold", {"monthly_cap_nano_eur": -1}, "monthly_cap_nano_eur"),
        ("gold", {"limits": [A_MINUTE, A_MINUTE]}, "limits"),
        ("gold", {"limits": [{"what": "requests", "window": "none", "amount": 1}]}, "window"),
        ("gold", {"rate_card": "none such"}, "rate_card"),
    ],
)
def test_a_tier_that_makes_no_sense_says_where(code: str, members: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        put_tier(by=RUNS, code=code, wish=TierWish(**{"name": "Team", **members}))  # type: ignore[arg-type]
    assert refused.value.field == field


def test_a_prepaid_tier_is_typed_and_its_contracts_are_paid_from_credit() -> None:
    tier = make_tier(prepaid_nano_eur=50 * 10**9)
    assert tier.prepaid_nano_eur == 50 * 10**9
    tenant = on(tier)
    assert Budget.objects.filter(tenant_id=tenant.pk, source="credit", is_active=True).exists()
    more = TierWish(name="Team", limits=[A_MINUTE], monthly_cap_nano_eur=10**11, prepaid_nano_eur=60 * 10**9)
    assert put_tier(by=RUNS, code=tier.code, wish=more)[2]
    link = AuditEvent.objects.filter(action="tier.changed", target=str(tier.pk)).latest("pk")
    assert (link.detail["before"]["prepaid_nano_eur"], link.detail["after"]["prepaid_nano_eur"]) == (
        50 * 10**9,
        60 * 10**9,
    )


def test_how_a_tier_is_paid_changes_only_while_nobody_has_or_awaits_it() -> None:
    afterwards, in_advance = make_tier(), make_tier(prepaid_nano_eur=10**9)
    wishes = {afterwards: TierWish(name="Team", prepaid_nano_eur=10**9), in_advance: TierWish(name="Team")}
    for tier, wish in wishes.items():
        tenant = on(tier)
        with pytest.raises(Invalid, match="make another one"):
            put_tier(by=RUNS, code=tier.code, wish=wish)
        start_contract(tenant=tenant, tier=make_tier(), actor=TESTS)
        CreditOrder.objects.create(tenant=tenant, tier=tier, amount_nano_eur=10**9)
        with pytest.raises(Invalid):
            put_tier(by=RUNS, code=tier.code, wish=wish)
        CreditOrder.objects.filter(tenant=tenant).update(state="cancelled", closed_at=timezone.now())
        choice = TierChoice.objects.create(tenant=tenant, tier=tier, starts_at=timezone.now())
        with pytest.raises(Invalid):
            put_tier(by=RUNS, code=tier.code, wish=wish)
        TierChoice.objects.filter(pk=choice.pk).update(closed_at=timezone.now())
        assert put_tier(by=RUNS, code=tier.code, wish=wish)[0].prepaid_nano_eur == wish.prepaid_nano_eur


def test_a_contract_that_starts_as_the_tier_changes_is_paid_as_the_tier_says_then() -> None:
    stale = make_tier()
    put_tier(by=RUNS, code=stale.code, wish=TierWish(name="Team", prepaid_nano_eur=10**9))
    tenant = on(stale)
    assert Budget.objects.filter(tenant_id=tenant.pk, source="credit", is_active=True).exists()


def test_a_contract_keeps_what_it_began_with_until_it_is_renewed() -> None:
    tier = make_tier()
    early = on(tier)
    set_limit(on=early, what="requests", window="day", amount=7, actor=TESTS)
    before = brought(early)
    put_tier(by=RUNS, code=tier.code, wish=TierWish("Team", limits=[AN_HOUR]))
    late = on(Tier.objects.get(pk=tier.pk))
    assert brought(early) == before == ({("requests", "minute", 60)}, [10**11])
    assert brought(late) == ({("tokens", "hour", 1_000)}, [])
    found = tier_with_contracts(tier.code)
    assert terms_brought(early) == (10**11, [A_MINUTE])
    assert (found.organisations, found.earlier) == (2, 1)  # type: ignore[attr-defined]
    assert renew_contracts(by=RUNS, tier=found) == (1, 0)
    assert brought(early) == brought(late)
    assert Limit.objects.filter(tenant_id=early.pk, source="set", is_active=True).count() == 1
    assert last_action() == "tier.contracts_renewed"
    assert renew_contracts(by=RUNS, tier=found) == (0, 0)


def test_a_renewal_keeps_the_price_list_and_a_new_contract_takes_the_tiers() -> None:
    tier = make_tier()
    early = on(tier)
    card = add_rate_card(name=unique("card"), actor=TESTS)
    put_tier(by=RUNS, code=tier.code, wish=TierWish("Team", rate_card=card.name, limits=[AN_HOUR]))
    renew_contracts(by=RUNS, tier=tier)
    tier = Tier.objects.get(pk=tier.pk)
    kept, taken = contract_in_force(early), contract_in_force(on(tier))
    assert kept is not None
    assert taken is not None
    assert (kept.rate_card.is_reference, taken.rate_card) == (True, card)
    assert move_tenant(by=RUNS, tenant=early, tier=tier)
    moved = contract_in_force(early)
    assert moved is not None
    assert moved.rate_card == card


def test_no_contract_starts_on_a_tier_that_is_withdrawn_and_those_in_force_go_on() -> None:
    tier, other = make_tier(), make_tier()
    word, another = unique("team"), make_tenant()
    put_tenant(by=RUNS, wish=TenantWish(word, "Team", tier.code))
    assert set_offered(by=RUNS, tier=tier, is_offered=False)
    assert not set_offered(by=RUNS, tier=tier, is_offered=False)
    assert last_action() == "tier.withdrawn"
    assert not offered_tiers().filter(pk=tier.pk).exists()
    known, new = plan_tenants(
        by=RUNS, wishes=[TenantWish(word, "Team", tier.code), TenantWish(unique("team"), "New", tier.code)]
    )
    assert (known.outcome, new.outcome) == (Outcome.UNCHANGED, Outcome.REFUSED)
    with pytest.raises(Invalid, match="not offered"):
        move_tenant(by=RUNS, tenant=another, tier=tier)
    assert move_tenant(by=RUNS, tenant=Tenant.objects.get(external_id=word), tier=other)
    assert set_offered(by=RUNS, tier=tier, is_offered=True)
    assert offered_tiers().filter(pk=tier.pk).exists()


def test_the_file_of_a_release_leaves_an_operators_tier_alone(tmp_path: Path) -> None:
    code, path = unique("t")[:32], tmp_path / "tiers.json"
    path.write_text(json.dumps({"tiers": [{"code": code, "name": "A", "limits": [], "monthly_cap": "5"}]}))
    assert load_tiers(path, actor=TESTS) == [code]
    put_tier(by=RUNS, code=code, wish=TierWish("Ours"))
    assert load_tiers(path, actor=TESTS) == []
    assert Tier.objects.get(code=code).name == "Ours"


def test_what_another_contract_changes_is_said_before_it_is_done() -> None:
    tier, other = make_tier(), make_tier(limits=[A_MINUTE, AN_HOUR], monthly_cap_nano_eur=None)
    tenant = on(tier)
    shown, hidden = make_model(), make_model()
    for model, seen_by in ((shown, other), (hidden, tier)):
        LanguageModel.objects.filter(pk=model.pk).update(published_at="2026-01-01T00:00Z")
        audience = Audience(LanguageModel.Visibility.CHOSEN, tiers=(seen_by.pk,))
        set_visibility(model=model, audience=audience, actor=TESTS)
    change = contract_change(tenant=tenant, tier=other)
    assert (change.cap_before, change.cap_after, change.is_same) == (10**11, None, False)
    assert [(one.what, one.before, one.after) for one in change.changed_limits] == [("tokens", None, 1_000)]
    assert (change.gained, change.lost) == ([shown.name], [hidden.name])
    assert move_tenant(by=RUNS, tenant=tenant, tier=other)
    assert not move_tenant(by=RUNS, tenant=tenant, tier=other)
    assert contract_change(tenant=tenant, tier=other).is_same
    platform = AuditEvent.objects.filter(tenant=None, action="tenant.changed", target=str(tenant.pk)).get()
    assert platform.detail["after"]["tier"] == other.code
    assert AuditEvent.objects.filter(tenant=tenant, action="contract.started").count() == 2


def test_name_time_zone_and_external_id_change_and_a_taken_one_is_refused() -> None:
    tenant, rival, word = make_tenant(), make_tenant(), unique("x")
    Tenant.objects.filter(pk=rival.pk).update(external_id=word)
    asked = {"name": "Water", "time_zone": "Atlantic/Canary", "external_id": unique("y")}
    assert change_details(by=RUNS, tenant=tenant, **asked)
    assert not change_details(by=RUNS, tenant=tenant, **asked)
    assert (tenant.name, tenant.time_zone, tenant.external_id) == tuple(asked.values())
    with pytest.raises(Conflict):
        change_details(by=RUNS, tenant=tenant, **asked | {"external_id": word})
    assert change_details(by=RUNS, tenant=tenant, **asked | {"external_id": ""})
    assert Tenant.objects.get(pk=tenant.pk).external_id is None


def test_contracts_and_tiers_take_the_billing_role() -> None:
    tier, tenant = make_tier(), make_tenant()
    platform: Operator = operator_for_person(make_operator(OperatorRole.PLATFORM))
    with pytest.raises(Forbidden):
        put_tier(by=platform, code="gold", wish=TierWish("Gold"))
    with pytest.raises(Forbidden):
        set_offered(by=platform, tier=tier, is_offered=False)
    with pytest.raises(Forbidden):
        renew_contracts(by=platform, tier=tier)
    with pytest.raises(Forbidden):
        move_tenant(by=platform, tenant=tenant, tier=tier)
    billing = operator_for_person(make_operator(OperatorRole.BILLING))
    assert set_offered(by=billing, tier=tier, is_offered=False)


def test_a_line_of_an_import_that_needs_another_role_says_so_in_words() -> None:
    tier, other, word = make_tier(), make_tier(), unique("team")
    put_tenant(by=RUNS, wish=TenantWish(word, "Team", tier.code))
    platform = operator_for_person(make_operator(OperatorRole.PLATFORM))
    [plan] = plan_tenants(by=platform, wishes=[TenantWish(word, "Team", other.code)])
    assert plan.outcome == Outcome.REFUSED
    assert plan.fault == (
        f"tier: {tier.code} to {other.code} is another contract, which only a billing operator, or a key with "
        "tiers:write, may start"
    )
