"""Keys found by name, look-up, project, person and state, page by page, and never another tenant's."""

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from identity.access import Caller
from identity.api_keys import mint_api_key, revoke_api_key
from identity.errors import Invalid
from identity.key_policy import KeyPolicy
from identity.key_rotation import rotate_api_key
from identity.key_search import COUNTED_MAX, KeyFilters, Sort, State, search_keys, state_of
from identity.members import add_member
from identity.models import ApiKey, Role
from identity.projects import create_project
from identity.scopes import Scope
from tests.support.people import TESTS, Cast, as_member, make_cast, make_person

NOW = timezone.now()


@pytest.fixture
def cast(database: None) -> Cast:
    return make_cast()


def key(cast: Cast, name: str, **changes: object) -> ApiKey:
    """A key of alice's; `changes` as `mint_api_key` takes them, `expires_at` and what only time brings."""
    policy = KeyPolicy(frozenset({Scope.INFERENCE}))
    given = {name: changes.pop(name) for name in ("project", "owner") if name in changes}
    arguments = {"project": cast.project} | given
    made, _ = mint_api_key(maker=as_member(cast.alice, cast.tenant), name=name, policy=policy, **arguments)  # type: ignore[arg-type]
    if changes:
        ApiKey.objects.filter(pk=made.pk).update(**changes)
    made.refresh_from_db()
    return made


def used(made: ApiKey, at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("insert into identity_keyuse (key_id, last_used_at) values (%s, %s)", [made.pk, at])


def names(cast: Cast, **filters: object) -> list[str]:
    caller = as_member(cast.alice, cast.tenant)
    return [found.name for found in search_keys(caller, KeyFilters(**filters), now=NOW, size=50).keys]  # type: ignore[arg-type]


def test_by_a_word_of_the_name_or_the_beginning_of_the_key(cast: Cast) -> None:
    portal, desk = key(cast, "Portail citoyen, production"), key(cast, "Guichet 12")
    assert names(cast, text="CITOYEN") == [portal.name]
    assert names(cast, text=desk.lookup[:6]) == [desk.name]
    assert names(cast, text=f"bfr_{desk.lookup[:4]}") == [desk.name]
    assert names(cast, text=f"bfr_{desk.lookup}_secret") == [desk.name]
    assert names(cast, text="100%") == []
    assert names(cast) == [desk.name, portal.name]


def test_by_project_and_person(cast: Cast) -> None:
    other = create_project(cast.tenant, "Archives", actor=TESTS)
    key(cast, "of the project", project=other)
    key(cast, "of bob", owner=cast.bob)
    assert names(cast, project_id=other.pk) == ["of the project"]
    assert names(cast, person=cast.bob.pseudonym) == ["of bob"]
    assert names(cast, person=cast.alice.pseudonym) == ["of the project"]  # she answers for it


def test_by_state(cast: Cast) -> None:
    long_ago = NOW - timedelta(days=200)
    key(cast, "new")
    key(cast, "soon", expires_at=NOW + timedelta(days=3))
    key(cast, "over", expires_at=NOW - timedelta(days=3))
    revoke_api_key(key(cast, "revoked"), actor=TESTS)
    key(cast, "blocked", blocked_at=NOW, blocked_reason="It leaked.")
    rotate_api_key(key(cast, "rotating"), by=as_member(cast.alice, cast.tenant))
    key(cast, "forgotten", created_at=long_ago)
    used(key(cast, "used once", created_at=long_ago), long_ago)
    used(key(cast, "in use", created_at=long_ago), NOW)
    found = {state: set(names(cast, state=state)) for state in State}
    assert found == {
        State.ACTIVE: {"new", "soon", "rotating", "forgotten", "used once", "in use"},
        State.EXPIRING: {"soon"},
        State.EXPIRED: {"over"},
        State.REVOKED: {"revoked"},
        State.BLOCKED: {"blocked"},
        State.ROTATING: {"rotating"},
        State.UNUSED: {"forgotten", "used once"},
    }


def test_each_key_has_one_state_that_says_most(cast: Cast) -> None:
    soon = NOW + timedelta(days=3)
    assert state_of(key(cast, "soon", expires_at=soon), NOW) == State.EXPIRING
    assert state_of(key(cast, "blocked", expires_at=soon, blocked_at=NOW, blocked_reason="x"), NOW) == State.BLOCKED
    assert state_of(key(cast, "revoked", blocked_at=NOW, blocked_reason="x", revoked_at=NOW), NOW) == State.REVOKED


@pytest.mark.parametrize("sort", Sort)
def test_pages_follow_each_other_without_a_gap(cast: Cast, sort: Sort) -> None:
    made = [key(cast, f"key {number}") for number in range(9)]
    for number, hours in ((1, 1.0), (4, 1.01), (5, 1.0), (7, 30.0), (8, 0.1)):
        used(made[number], NOW - timedelta(hours=hours))
    caller, after, seen = as_member(cast.alice, cast.tenant), "", []
    while True:
        page = search_keys(caller, KeyFilters(sort=sort), now=NOW, after=after, size=2)
        seen += [int(found.name.split()[1]) for found in page.keys]
        assert page.total == 9
        if page.next is None:
            break
        after = page.next
    by_use = [8, 5, 1, 4, 7, 6, 3, 2, 0]
    assert seen == (by_use if sort == Sort.LAST_USED else list(range(8, -1, -1)))


@pytest.mark.parametrize("after", ["x", "-1", "1.2", "1.2.x", "9" * 30, "1.99999999999999999.1"])
def test_a_cursor_of_something_else_is_refused(cast: Cast, after: str) -> None:
    for sort in Sort:
        with pytest.raises(Invalid, match="after"):
            search_keys(as_member(cast.alice, cast.tenant), KeyFilters(sort=sort), now=NOW, after=after, size=2)


def test_nobody_finds_what_is_not_theirs(cast: Cast) -> None:
    archives = create_project(cast.tenant, "Archives", actor=TESTS)
    key(cast, "of the archives", project=archives)
    stranger = as_member(cast.charlie, cast.strangers)
    assert search_keys(stranger, KeyFilters(text="archives"), now=NOW, size=9) == ([], None, 0)
    dana = make_person("dana")
    add_member(by=Caller.system("tests", cast.tenant), person=dana, role=Role.DEVELOPER, projects=[cast.project])
    confined = as_member(dana, cast.tenant)
    assert search_keys(confined, KeyFilters(), now=NOW, size=9).keys == []
    assert search_keys(confined, KeyFilters(project_id=archives.pk), now=NOW, size=9).keys == []


def test_counting_stops(cast: Cast) -> None:
    assert COUNTED_MAX == 1_000
    key(cast, "a")
    template = ApiKey.objects.get(tenant=cast.tenant)
    ApiKey.objects.bulk_create(
        ApiKey(
            tenant=cast.tenant, project=cast.project, name="b", lookup=f"{cast.tenant.pk}x{number}"[-16:],
            digest=bytes(template.digest), pepper_id=1,
        )
        for number in range(1_005)
    )  # fmt: skip
    assert search_keys(as_member(cast.alice, cast.tenant), KeyFilters(), now=NOW, size=5).total == 1_001
