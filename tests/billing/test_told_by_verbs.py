"""Verbs that change what people rely on tell them, once: prices, ends of models, sign-in, keys, members."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from billing.prices.price_book import add_price_version, load_prices
from identity import providers
from identity.key_rotation import rotate_api_key
from identity.members import add_member
from identity.models import Notice, NoticeDelivery, Person, Role, Tenant
from identity.notice_wording import word
from identity.providers import ProviderSettings
from models_catalog.loading import load_catalog
from tests.support.ledger import House, make_house, make_model, make_price, unique
from tests.support.people import TESTS, as_member, make_cast, make_key, make_person

pytestmark = pytest.mark.usefixtures("database")
DEAR = {"input": 300_000_000, "output": 900_000_000}


@pytest.fixture
def house() -> House:
    return make_house()


def told(tenant: Tenant, kind: str) -> list[dict[str, Any]]:
    """The contexts of the tenant's notices of that kind, oldest first."""
    return list(Notice.objects.filter(tenant=tenant, kind=kind).order_by("id").values_list("context", flat=True))


def readers(tenant: Tenant, kind: str) -> set[Person]:
    sent = NoticeDelivery.objects.filter(notice__tenant=tenant, notice__kind=kind, channel="inbox")
    return {delivery.person for delivery in sent.select_related("person") if delivery.person}


def test_a_price_that_changes_is_told_to_those_on_its_list_and_a_first_price_to_nobody(house: House) -> None:
    other, card = make_house(), house.price_version.rate_card
    starts = timezone.now() + timedelta(days=30)
    add_price_version(rate_card=card, model=make_model(), prices=DEAR, actor=TESTS)
    assert told(house.tenant, "price.changed") == []
    add_price_version(rate_card=card, model=house.model, prices=DEAR, valid_from=starts, actor=TESTS)
    assert told(house.tenant, "price.changed") == [
        {"count": 1, "models": house.model.name, "from_at": starts.isoformat()}
    ]
    assert told(other.tenant, "price.changed") == []


def test_a_file_of_prices_is_told_in_one_notice(house: House, tmp_path: Path) -> None:
    card, second = house.price_version.rate_card, make_model(kind="image")
    now = make_price(card, second, {"documents": 1_000_000_000}).valid_from
    versions = [
        {"mode": "standard", "valid_from": starts.isoformat(), "eur_per_million": {"image": {"documents": price}}}
        for starts, price in ((now, "1"), (datetime(2099, 1, 1, tzinfo=UTC), "2"))
    ]
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"rate_cards": [{"name": card.name, "is_reference": False, "versions": versions}]}))
    for _ in range(2):
        load_prices(path, actor=TESTS)
    [notice] = told(house.tenant, "price.changed")
    assert second.name in notice["models"]


def test_a_catalogue_that_ends_a_model_tells_so_once_and_again_when_the_day_moves(house: House, tmp_path: Path) -> None:
    item: dict[str, Any] = {"name": unique("m"), "title": "M", "kind": "chat", "publisher": "P", "family": "F",
            "licence": "MIT", "context_window": 8192, "default_max_output": 1024, "modalities": ["text"],
            "channel": "experimental"}  # fmt: skip
    path = tmp_path / "catalog.json"

    def load(**dates: str) -> list[tuple[str, str]]:
        path.write_text(json.dumps({"models": [item | dates]}))
        load_catalog(path, actor=TESTS)
        found = Notice.objects.filter(tenant=house.tenant, kind__startswith="model.").order_by("id")
        return [(one.kind, one.context["ends_on"]) for one in found if one.context["model"] == item["name"]]

    assert load() == []
    first = [("model.deprecated", "2099-09-01")]
    for _ in range(2):
        assert load(deprecated_on="2026-11-01", retired_on="2099-09-01") == first
    moved = [*first, ("model.deprecated", "2099-12-01")]
    assert load(deprecated_on="2026-11-01", retired_on="2099-12-01") == moved
    ended = load(deprecated_on="2026-01-01", retired_on=str(date(2026, 10, 1)))
    assert ended == [*moved, ("model.withdrawn", "2026-10-01")]
    notice = Notice.objects.filter(tenant=house.tenant, kind="model.withdrawn").latest("id")
    assert "another model takes its place" in word(notice, language="en", time_zone="UTC").text


def test_another_way_to_sign_in_is_told_to_the_administrators() -> None:
    cast = make_cast()
    alice, now = as_member(cast.alice, cast.tenant), timezone.now()
    settings = ProviderSettings(issuer="https://login.example.org", client_id="beffroi", client_secret="hush")
    version = providers.prepare_version(by=alice, settings=settings)
    providers.mark_tried(version, person=cast.alice, now=now)
    assert told(cast.tenant, "provider.changed") == []
    providers.activate(version, by=alice, now=now)
    providers.switch_off(version.provider, by=alice, now=now)
    issuers = [one["issuer"] for one in told(cast.tenant, "provider.changed")]
    shared = providers.shared_version()
    assert issuers == ["https://login.example.org", shared.issuer if shared else "–"]
    assert readers(cast.tenant, "provider.changed") == {cast.alice}


def test_a_rotation_is_told_to_those_who_build() -> None:
    cast = make_cast()
    key, _ = make_key(cast.tenant)
    rotate_api_key(key, by=as_member(cast.alice, cast.tenant))
    assert [one["key"] for one in told(cast.tenant, "api_key.rotated")] == [key.lookup]
    assert readers(cast.tenant, "api_key.rotated") == {cast.alice, cast.bob}


def test_nobody_is_told_that_they_are_a_new_member() -> None:
    cast = make_cast()
    erin = make_person("erin")
    add_member(by=as_member(cast.alice, cast.tenant), person=erin, role=Role.ADMINISTRATOR)
    assert [one["name"] for one in told(cast.tenant, "member.added")] == ["erin"]
    assert readers(cast.tenant, "member.added") == {cast.alice}
