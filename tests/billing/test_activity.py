"""Requests and refusals in one list: its order, its pages, who sees what of it."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from billing.usage import activity
from billing.usage.activity import Kind, Place, Wanted, request_id_in
from billing.usage.records import Filters, Reader, lowest_request_id
from tests.support.history import History, history_of
from tests.support.ledger import House, LedgerGateway, ledger_gateway, make_house, make_model

# A month of its own: what is written here changes no other test's plans.
NOON = datetime.now(UTC).replace(day=25, hour=12, minute=0, second=0, microsecond=0) + timedelta(days=365)
SINCE = Filters(since=NOON - timedelta(days=20))


@pytest.fixture
def house(database: None) -> House:
    return make_house()


@pytest.fixture
def history(house: House, owner_database_url: str) -> Iterator[History]:
    with history_of(house, owner_database_url) as history:
        yield history


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


def ids(lines: object) -> list[UUID]:
    return [line.place.request_id for line in lines]  # type: ignore[attr-defined]


def all_pages(reader: Reader, wanted: Wanted, size: int) -> Iterator[list[activity.Line]]:
    page = activity.page(reader, wanted, size=size)
    yield list(page.lines)
    while page.next:
        page = activity.page(reader, wanted, after=page.next, size=size)
        yield list(page.lines)


def test_records_and_refusals_are_one_list_the_newest_first(house: House, history: History) -> None:
    key = house.key().row
    first = history.record(key, NOON)
    second = history.refusal(key, NOON + timedelta(seconds=1))
    third = history.record(key, NOON + timedelta(seconds=2))

    page = activity.page(Reader(house.tenant.pk), Wanted(SINCE), size=10)

    assert ids(page.lines) == [third, second, first]
    assert [line.refusal is not None for line in page.lines] == [False, True, False]
    assert page.next is None


@pytest.mark.parametrize("size", [1, 2, 7])
def test_pages_lose_and_repeat_nothing_while_others_are_written(house: House, history: History, size: int) -> None:
    key, dice = house.key().row, random.Random(size)
    # Half of them in the same milliseconds, where only the ids decide.
    moments = [NOON + timedelta(milliseconds=dice.choice((0, 1, dice.randrange(90_000)))) for _ in range(20)]
    before = {
        history.refusal(key, at + timedelta(microseconds=dice.choice((0, 1, 999))))
        if dice.random() < 0.5
        else history.record(key, at)
        for at in moments
    }
    seen: list[UUID] = []
    for number, lines in enumerate(all_pages(Reader(house.tenant.pk), Wanted(SINCE), size)):
        seen += ids(lines)
        history.record(key, NOON + timedelta(hours=1, seconds=number))
        history.refusal(key, NOON + timedelta(hours=1, seconds=number))

    assert len(seen) == len(set(seen)) == len(before)
    assert set(seen) == before


@pytest.mark.parametrize("by", ["model", "project", "member"])
def test_a_rare_model_or_project_is_found_page_by_page_through_the_hourly_sums(
    house: House, history: History, by: str
) -> None:
    other, project, dice = make_model(), house.project_called("Rare"), random.Random(4)
    rare_key, key = house.key(project=project).row, house.key().row
    wanted = {
        "model": Wanted(Filters(since=SINCE.since, model=other.name)),
        "project": Wanted(Filters(since=SINCE.since, project_id=project.pk)),
        "member": Wanted(SINCE),
    }[by]
    reader = Reader(house.tenant.pk, project_ids=frozenset({project.pk}) if by == "member" else None)
    rare = []
    for _ in range(30):
        # Around the turn of an hour, some having waited for their admission since the hour before.
        at = NOON - timedelta(hours=dice.randrange(40), milliseconds=dice.randrange(-3_000, 3_000))
        rare.append(history.record(rare_key, at, model=other, waited=dice.randrange(15_000)))
        history.record(key, at)

    seen = [found for lines in all_pages(reader, wanted, 4) for found in ids(lines)]

    assert seen == sorted(rare, reverse=True)


def test_a_member_of_one_project_sees_only_its_requests_I6(house: House, history: History) -> None:
    mine = house.project_called("Mine")
    my_key, their_key = house.key(project=mine).row, house.key().row
    record, refusal = history.record(my_key, NOON), history.refusal(my_key, NOON + timedelta(seconds=1))
    their_record, their_refusal = history.record(their_key, NOON), history.refusal(their_key, NOON)
    reader = Reader(house.tenant.pk, project_ids=frozenset({mine.pk}))

    assert ids(activity.page(reader, Wanted(SINCE), size=10).lines) == [refusal, record]
    assert activity.news(reader, Wanted(SINCE), since=None) == 2
    assert activity.receipt(reader, record) is not None
    assert activity.receipt(reader, their_record) is None
    assert activity.refusal(reader, refusal) is not None
    assert activity.refusal(reader, their_refusal) is None
    nobody = Reader(house.tenant.pk, project_ids=frozenset())
    assert activity.page(nobody, Wanted(SINCE), size=10).lines == []


def test_a_stranger_sees_no_request_of_another_tenant_I6(
    house: House, history: History, gateway: LedgerGateway
) -> None:
    key = house.key().row
    record, refusal = history.record(key, NOON), history.refusal(key, NOON)
    held = gateway.admit(house, key).request_id
    stranger = Reader(make_house().tenant.pk)

    assert activity.running(Reader(house.tenant.pk), held) is not None
    assert activity.running(Reader(house.tenant.pk, project_ids=frozenset()), held) is None
    assert activity.running(stranger, held) is None
    assert activity.receipt(stranger, record) is None
    assert activity.refusal(stranger, refusal) is None
    assert activity.page(stranger, Wanted(SINCE), size=10).lines == []


def test_kinds_and_codes_narrow_the_list(house: House, history: History) -> None:
    key = house.key().row
    history.record(key, NOON)
    cut = history.record(key, NOON + timedelta(seconds=1), status="client_left")
    limited = history.refusal(key, NOON + timedelta(seconds=2))
    broke = history.refusal(key, NOON + timedelta(seconds=3), code="insufficient_quota")

    def found(**changes: object) -> list[UUID]:
        filters = Filters(since=SINCE.since, status=str(changes.pop("status", "")))
        return ids(activity.page(Reader(house.tenant.pk), Wanted(filters, **changes), size=10).lines)  # type: ignore[arg-type]

    assert found(kind=Kind.TROUBLE) == [cut]
    assert found(kind=Kind.REFUSED) == [broke, limited]
    assert found(code="insufficient_quota") == [broke]
    assert found(status="client_left") == [cut]


def test_what_is_new_is_counted_up_to_a_bound(house: House, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    key, reader = house.key().row, Reader(house.tenant.pk)
    for number in range(3):
        history.record(key, NOON + timedelta(seconds=number))
        history.refusal(key, NOON + timedelta(seconds=number, microseconds=500))
    lines = activity.page(reader, Wanted(SINCE), size=10).lines

    assert [activity.news(reader, Wanted(SINCE), since=line.place) for line in lines] == [0, 1, 2, 3, 4, 5]
    assert activity.news(reader, Wanted(SINCE), since=None) == 6
    monkeypatch.setattr(activity, "NEWS_MAX", 4)
    assert activity.news(reader, Wanted(SINCE), since=None) == 4


@pytest.mark.parametrize("pasted", [
    "0193e5c8-6f00-7abc-8def-0123456789ab",
    "chatcmpl-0193e5c86f007abc8def0123456789ab",
    "x-request-id: 0193E5C8-6F00-7ABC-8DEF-0123456789AB\r\n",
    "see https://llm.example/t/a/requests/0193e5c8-6f00-7abc-8def-0123456789ab?x=1",
])  # fmt: skip
def test_a_request_id_is_found_in_whatever_was_pasted(pasted: str) -> None:
    assert request_id_in(pasted) == UUID("0193e5c8-6f00-7abc-8def-0123456789ab")


@pytest.mark.parametrize("pasted", ["", "hello", "0193e5c8-6f00", "a" * 33, "f" * 500])
def test_what_is_no_request_id_is_none(pasted: str) -> None:
    assert request_id_in(pasted) is None


def test_places_of_records_and_refusals_are_one_total_order() -> None:
    moment = datetime(2026, 11, 21, 12, tzinfo=UTC)
    low, high = (UUID(int=lowest_request_id(moment).int | tail) for tail in (1, 2))
    places = [activity.place_of_record(low), activity.place_of_record(high)]
    places += [Place(moment + timedelta(microseconds=part), middle) for part in (-1, 0, 1) for middle in (low, high)]
    for place in places:
        before = {one for one in (low, high) if activity.place_of_record(one) < place}
        after = {one for one in (low, high) if activity.place_of_record(one) > place}
        assert {one for one in (low, high) if one < activity._first_id_before(place)} == before
        assert {one for one in (low, high) if one > activity._last_id_at(place)} == after
