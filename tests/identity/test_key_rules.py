"""What a tenant demands of its keys, an operator's emergency stop, keys to hand over, reminders, and "Try it"."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from identity import access
from identity.access import Caller
from identity.api_keys import authenticate, mint_api_key
from identity.errors import Conflict, Forbidden, Invalid, KeyRefused, NotFound, Refusal
from identity.key_blocking import block_api_key, unblock_api_key
from identity.key_changes import change_api_key
from identity.key_handover import keys_without_responsible
from identity.key_policy import KeyPolicy, policy_of
from identity.key_reminders import KIND, remind_of_expiry
from identity.key_rotation import rotate_api_key
from identity.key_rules import Creators, KeyRules, rules_of, set_key_rules
from identity.members import remove_member
from identity.models import ApiKey, AuditEvent, Notice, OperatorRole, Person, Project, Role
from identity.operators import appoint_operator
from identity.playground import LIFETIME, playground_secret
from identity.projects import archive_project, create_project
from identity.scopes import Scope
from tests.support.people import (
    TESTS,
    Cast,
    as_member,
    default_project,
    make_cast,
    make_key,
    make_person,
    make_tenant,
)

pytestmark = pytest.mark.usefixtures("database")
DAY = timedelta(days=1)


def inference(**restrictions: object) -> KeyPolicy:
    return KeyPolicy(frozenset({Scope.INFERENCE}), **restrictions)  # type: ignore[arg-type]


def minted(by: Caller, project: Project, policy: KeyPolicy, owner: Person | None = None) -> ApiKey:
    return mint_api_key(maker=by, project=project, name="k", policy=policy, owner=owner)[0]


def opens(text: str) -> str:
    """ "yes", or why not."""
    try:
        authenticate(text, client_ip=None, origin=None, now=timezone.now())
    except KeyRefused as refused:
        return refused.reason.value
    return "yes"


# What a tenant demands


def ruled(cast: Cast, **rules: object) -> Caller:
    """alice, after she made these rules."""
    alice = as_member(cast.alice, cast.tenant)
    set_key_rules(by=alice, rules=KeyRules(**rules))  # type: ignore[arg-type]
    return alice


def test_no_key_lives_longer_than_the_tenant_allows() -> None:
    cast = make_cast()
    alice, now = ruled(cast, longest_life_days=30, default_life_days=7), timezone.now()
    for ends in (None, now + 31 * DAY):
        with pytest.raises(Invalid, match="expires_at"):
            minted(alice, cast.project, inference(expires_at=ends))
    key = minted(alice, cast.project, inference(expires_at=now + 29 * DAY))
    with pytest.raises(Invalid, match="expires_at"):
        change_api_key(key, by=alice, policy=inference(expires_at=None))
    assert rules_of(cast.tenant).proposed_end(now) == now + 7 * DAY
    ApiKey.objects.filter(pk=key.pk).update(created_at=now - 20 * DAY)
    longer = inference(expires_at=now + 25 * DAY)
    with pytest.raises(Invalid, match="after the secret was made"):
        change_api_key(key, by=alice, policy=longer)
    rotate_api_key(key, by=alice)
    assert change_api_key(key, by=alice, policy=longer)


def test_every_key_lies_within_the_tenants_addresses() -> None:
    cast = make_cast()
    alice = ruled(cast, ip_ranges=("192.0.2.0/24",))
    assert minted(alice, cast.project, inference()).ip_ranges == ["192.0.2.0/24"]
    assert minted(alice, cast.project, inference(ip_ranges=("192.0.2.9",))).ip_ranges == ["192.0.2.9/32"]
    with pytest.raises(Invalid, match="ip_ranges"):
        minted(alice, cast.project, inference(ip_ranges=("192.0.2.9", "198.51.100.1")))


def test_where_only_administrators_make_keys_no_developer_and_no_key_does() -> None:
    cast = make_cast()
    bob = as_member(cast.bob, cast.tenant)
    _, text = make_key(cast.tenant, scopes=(Scope.KEYS_MANAGE, Scope.INFERENCE))
    program = access.caller_for_key(authenticate(text, client_ip=None, origin=None, now=timezone.now()))
    alice = ruled(cast, creators=Creators.ADMINISTRATORS)
    for maker in (bob, program):
        with pytest.raises(Forbidden):
            minted(maker, cast.project, inference())
    assert minted(alice, cast.project, inference())


def test_where_personal_keys_are_not_allowed_none_is_made_or_rotated() -> None:
    cast = make_cast()
    bob = as_member(cast.bob, cast.tenant)
    his = minted(bob, cast.project, inference(), cast.bob)
    ruled(cast, personal_keys=False)
    with pytest.raises(Invalid, match="owner"):
        minted(bob, cast.project, inference(), cast.bob)
    with pytest.raises(Conflict, match="no personal keys"):
        rotate_api_key(his, by=bob)


def test_who_may_not_change_the_rules_and_nonsense_are_refused_and_a_change_is_audited() -> None:
    cast = make_cast()
    alice = as_member(cast.alice, cast.tenant)
    with pytest.raises(Forbidden):
        set_key_rules(by=as_member(cast.bob, cast.tenant), rules=KeyRules())
    for field, rules in {
        "longest_life_days": KeyRules(longest_life_days=0),
        "default_life_days": KeyRules(longest_life_days=5, default_life_days=6),
        "ip_ranges": KeyRules(ip_ranges=("10.0.0.1/8",)),
    }.items():
        with pytest.raises(Invalid, match=field):
            set_key_rules(by=alice, rules=rules)
    for _ in range(2):
        set_key_rules(by=alice, rules=KeyRules(longest_life_days=90))
    assert AuditEvent.objects.filter(tenant=cast.tenant, action="key_rules.changed").count() == 1
    assert rules_of(cast.tenant) == KeyRules(longest_life_days=90)


# The emergency stop


@pytest.fixture
def operator() -> Person:
    person = make_person("ines")
    appoint_operator(person, OperatorRole.PLATFORM, actor=TESTS)
    return person


def test_an_operator_blocks_a_key_and_the_tenant_is_told(operator: Person) -> None:
    cast = make_cast()
    key, text = make_key(cast.tenant)
    assert block_api_key(key.lookup, by=operator, reason="found in a public repository")
    assert not block_api_key(key.lookup, by=operator, reason="twice")
    assert opens(text) == Refusal.BLOCKED
    notice = Notice.objects.get(tenant=cast.tenant, kind="api_key.blocked")
    assert set(notice.roles) == {Role.OWNER, Role.ADMINISTRATOR}
    assert notice.context["reason"] == "found in a public repository"
    event = AuditEvent.objects.get(action="api_key.blocked", target=key.lookup)
    assert (event.tenant_id, event.actor_kind, event.actor) == (cast.tenant.pk, "operator", str(operator.pseudonym))
    assert unblock_api_key(key.lookup, by=operator, reason="it was a false alarm")
    assert opens(text) == "yes"


def test_a_rotation_gives_no_way_round_a_block(operator: Person) -> None:
    key, old = make_key(make_tenant())
    block_api_key(key.lookup, by=operator, reason="leaked")
    new = rotate_api_key(key, by=Caller.system("tests", key.tenant)).text
    assert (opens(old), opens(new)) == (Refusal.BLOCKED, Refusal.BLOCKED)


def test_I6_members_do_not_block_and_operators_learn_nothing_of_keys(operator: Person) -> None:
    cast = make_cast()
    key, _ = make_key(cast.tenant)
    with pytest.raises(Forbidden):
        block_api_key(key.lookup, by=cast.alice, reason="mine")
    with pytest.raises(NotFound):
        block_api_key("0000000000", by=operator, reason="leaked")
    with pytest.raises(NotFound):
        access.caller_for_person(operator, cast.tenant.slug)


# Handing over


def test_a_removed_members_projects_keys_go_on_and_ask_for_somebody_else() -> None:
    cast = make_cast()
    alice, bob = as_member(cast.alice, cast.tenant), as_member(cast.bob, cast.tenant)
    hers, his = minted(alice, cast.project, inference()), minted(bob, cast.project, inference())
    personal = minted(bob, cast.project, inference(), cast.bob)
    assert list(keys_without_responsible(alice)) == []
    remove_member(by=alice, person=cast.bob)
    assert list(keys_without_responsible(alice)) == [his]
    assert ApiKey.objects.get(pk=personal.pk).revoked_at is not None
    assert ApiKey.objects.get(pk=his.pk).revoked_at is None
    notice = Notice.objects.get(tenant=cast.tenant, kind="api_key.needs_a_responsible_person")
    assert notice.context == {"count": 1, "name": str(cast.bob)}
    change_api_key(his, by=alice, responsible=cast.alice)
    assert list(keys_without_responsible(alice)) == []
    assert hers.responsible == cast.alice


# Reminders


def test_a_key_is_reminded_of_thirty_seven_and_one_days_before_its_end_once_each() -> None:
    tenant, now = make_tenant(), timezone.now()
    end = now + 40 * DAY
    make_key(tenant, expires_at=end)
    short, _ = make_key(tenant, expires_at=now + 3 * DAY)
    moment = now
    while moment < end + DAY:
        remind_of_expiry(moment)
        moment += DAY / 2
    told = Notice.objects.filter(tenant=tenant, kind=KIND).order_by("id")
    assert [(notice.context["days"], notice.context["key"] == short.lookup) for notice in told] == [
        (1, True), (30, False), (7, False), (1, False),
    ]  # fmt: skip


def test_the_worker_reminds_and_the_clock_starts_it() -> None:
    from console.celery import app
    from identity.tasks import remind_of_keys

    tenant = make_tenant()
    key, _ = make_key(tenant, expires_at=timezone.now() + 7 * DAY - timedelta(hours=1))
    ApiKey.objects.filter(pk=key.pk).update(created_at=timezone.now() - DAY)
    for _ in range(2):
        remind_of_keys()
    assert Notice.objects.filter(tenant=tenant, kind=KIND).count() == 1
    assert remind_of_keys.name in {entry["task"] for entry in app.conf.beat_schedule.values()}


# "Try it"


def test_a_playground_secret_opens_inference_for_a_minute_and_is_in_no_list() -> None:
    cast = make_cast()
    bob = as_member(cast.bob, cast.tenant)
    first, second = playground_secret(bob, cast.project), playground_secret(bob, cast.project)
    assert (opens(first), opens(second)) == ("yes", "yes")
    third = playground_secret(bob, cast.project)
    assert (opens(first), opens(second), opens(third)) == (Refusal.UNKNOWN, "yes", "yes")
    key = authenticate(third, client_ip=None, origin=None, now=timezone.now())
    assert (key.owner, key.project, policy_of(key)) == (cast.bob, cast.project, inference(expires_at=key.expires_at))
    with pytest.raises(KeyRefused, match="expired"):
        authenticate(third, client_ip=None, origin=None, now=timezone.now() + LIFETIME)
    assert ApiKey.objects.filter(tenant=cast.tenant).count() == 1
    assert list(access.keys_for(bob)) == []
    with pytest.raises(NotFound):
        access.key_for(bob, key.lookup)
    with pytest.raises(NotFound):
        rotate_api_key(key, by=bob)


def test_I6_the_playground_gives_nobody_more_than_they_have() -> None:
    cast = make_cast()
    finance = as_member(make_person("fatima", cast.tenant, Role.FINANCE), cast.tenant)
    with pytest.raises(Forbidden):
        playground_secret(finance, cast.project)
    with pytest.raises(NotFound):
        playground_secret(as_member(cast.bob, cast.tenant), default_project(cast.strangers))
    with pytest.raises(Forbidden):
        playground_secret(Caller.system("tests", cast.tenant), cast.project)
    closed = create_project(cast.tenant, "Closed", actor=TESTS)
    archive_project(closed, actor=TESTS)
    with pytest.raises(Conflict):
        playground_secret(as_member(cast.bob, cast.tenant), Project.objects.get(pk=closed.pk))


def test_I6_who_is_removed_has_no_playground_any_more() -> None:
    cast = make_cast()
    text = playground_secret(as_member(cast.bob, cast.tenant), cast.project)
    remove_member(by=as_member(cast.alice, cast.tenant), person=cast.bob)
    assert opens(text) == Refusal.REVOKED


# What the database holds


def test_uses_told_by_two_gateways_at_once_never_wait_for_each_other(owner_database_url: str) -> None:
    import psycopg

    key, _ = make_key(make_tenant())
    use = f'[{{"key_id": {key.pk}, "secret": "{bytes(key.digest).hex()[:16]}", "at": 1000}}]'
    with psycopg.connect(owner_database_url, autocommit=True) as other:
        other.execute("select touch_keys_v1(%s)", [use])
        with other.transaction(), connection.cursor() as cursor:
            other.execute("update identity_keyuse set last_used_at = now() where key_id = %s", [key.pk])
            cursor.execute("set statement_timeout = '2s'")
            cursor.execute("select touch_keys_v1(%s)", [use])
            cursor.execute("reset statement_timeout")
