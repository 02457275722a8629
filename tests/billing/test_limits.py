"""Limits as people set them."""

from typing import Any

import pytest

from billing.limits.limits import put_limit, remove_limit, set_limit
from billing.limits.places import Source, place_of
from billing.models import Limit, LimitWindow
from identity.audit import Actor
from identity.errors import Invalid
from identity.models import AuditEvent
from tests.support.ledger import House, ledger_gateway, make_house

ALICE = Actor.system("test")


@pytest.fixture
def house(database: None) -> House:
    return make_house()


def test_a_limit_binds_its_holder_until_it_is_removed(house: House, gateway_database_url: str) -> None:
    key = house.key().row
    limit = set_limit(on=key, what="requests", window="day", amount=1, actor=ALICE)
    with ledger_gateway(gateway_database_url) as gateway:
        gateway.complete(house, key)
        assert gateway.admit(house, key).verdict != "admitted"
        gateway.complete(house, house.key().row)
        remove_limit(limit=limit, actor=ALICE)
        gateway.complete(house, key)


def test_a_changed_limit_goes_on_counting(house: House, gateway_database_url: str) -> None:
    key = house.key().row
    first = set_limit(on=house.tenant, what="requests", window="day", amount=1, actor=ALICE)
    with ledger_gateway(gateway_database_url) as gateway:
        gateway.complete(house, key)
        again = set_limit(on=house.tenant, what="requests", window="day", amount=2, actor=ALICE)
        assert again.pk == first.pk
        gateway.complete(house, key)
        assert gateway.admit(house, key).verdict != "admitted"
    assert LimitWindow.objects.get(limit_id=first.pk).used == 2


def test_the_lower_of_ones_own_limit_and_the_contracts_binds(house: House, gateway_database_url: str) -> None:
    key = house.key().row
    put_limit(place_of(house.tenant), what="requests", window="day", amount=1_000, source=Source.TIER)
    set_limit(on=house.tenant, what="requests", window="day", amount=1, actor=ALICE)
    with ledger_gateway(gateway_database_url) as gateway:
        gateway.complete(house, key)
        assert gateway.admit(house, key).verdict != "admitted"


def test_what_the_contract_brings_is_not_removed_by_members(house: House) -> None:
    limit = put_limit(place_of(house.tenant), what="requests", window="day", amount=1, source=Source.TIER)
    with pytest.raises(Invalid, match="contract"):
        remove_limit(limit=limit, actor=ALICE)


@pytest.mark.parametrize(
    "changes",
    [
        {"what": "smiles"},
        {"window": "decade"},
        {"window": "none"},
        {"what": "concurrent"},
        {"amount": -1},
        {"amount": 10**15 + 1},
        {"amount": 1.5},
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(house: House, changes: dict[str, Any]) -> None:
    sane: dict[str, Any] = {"on": house.project, "what": "tokens", "window": "day", "amount": 1, "actor": ALICE}
    with pytest.raises(Invalid):
        set_limit(**(sane | changes))
    assert not Limit.objects.filter(tenant_id=house.tenant.pk).exists()


def test_requests_at_once_have_no_window(house: House) -> None:
    assert set_limit(on=house.key().row, what="concurrent", window="none", amount=4, actor=ALICE).is_active


def test_every_change_is_in_the_tenants_audit_chain(house: House) -> None:
    limit = set_limit(on=house.project, what="tokens", window="minute", amount=9, actor=ALICE)
    remove_limit(limit=limit, actor=ALICE)
    links = AuditEvent.objects.filter(tenant=house.tenant, target=str(limit.pk)).order_by("sequence")
    assert [link.action for link in links] == ["limit.set", "limit.removed"]
    same = {"scope": "project", "what": "tokens", "window": "minute"}
    assert [link.detail for link in links] == [same | {"after": {"amount": 9}}, same | {"before": {"amount": 9}}]
