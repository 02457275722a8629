"""Two secrets a key for a while, and never three; what a lost answer costs; who may get a new secret."""

from datetime import timedelta
from ipaddress import ip_address

import pytest
from django.utils import timezone
from pytest_django import Settings

from identity import access
from identity.access import Caller
from identity.api_keys import authenticate, live_keys_by_pepper, mint_api_key, revoke_api_key
from identity.audit import told
from identity.errors import Conflict, Forbidden, Invalid, KeyRefused, Refusal
from identity.key_changes import change_api_key
from identity.key_policy import KeyPolicy, policy_of
from identity.key_rotation import GRACE_MAX, end_previous_secret, rotate_api_key
from identity.key_rules import KeyRules, set_key_rules
from identity.key_use import last_used_at, note_use
from identity.models import ApiKey, AuditEvent, KeyUse
from identity.scopes import Scope
from tests.support.people import TESTS, as_member, make_cast, make_key, make_tenant

pytestmark = pytest.mark.usefixtures("database")
HOUR = timedelta(hours=1)


def system(key: ApiKey) -> Caller:
    return Caller.system("tests", key.tenant)


def opens(text: str, after: timedelta = timedelta()) -> str:
    """ "yes", or why not."""
    try:
        authenticate(text, client_ip=ip_address("192.0.2.1"), origin=None, now=timezone.now() + after)
    except KeyRefused as refused:
        return refused.reason.value
    return "yes"


def as_key(text: str) -> Caller:
    """A program that asks with this text."""
    return access.caller_for_key(authenticate(text, client_ip=None, origin=None, now=timezone.now()))


def test_both_secrets_work_until_the_grace_is_over_and_the_key_stays_itself() -> None:
    key, old = make_key(make_tenant())
    done = rotate_api_key(key, by=system(key), grace=HOUR)
    assert done.text[:15] == old[:15]
    assert (done.previous_ended, done.is_repeat, done.key.pk) == (False, False, key.pk)
    assert (opens(old), opens(done.text)) == ("yes", "yes")
    assert (opens(old, HOUR), opens(done.text, HOUR)) == (Refusal.ROTATED, "yes")


def test_without_a_grace_the_old_secret_ends_at_once() -> None:
    key, old = make_key(make_tenant())
    done = rotate_api_key(key, by=system(key), grace=timedelta())
    assert (opens(old), opens(done.text)) == (Refusal.ROTATED, "yes")


def test_there_are_never_three_secrets() -> None:
    key, first = make_key(make_tenant())
    second = rotate_api_key(key, by=system(key), grace=HOUR)
    third = rotate_api_key(key, by=system(key), grace=HOUR)
    assert third.previous_ended
    assert [opens(text) for text in (first, second.text, third.text)] == [Refusal.UNKNOWN, "yes", "yes"]


def test_a_rotation_whose_answer_was_lost_is_asked_for_again_and_the_old_secret_keeps_its_end() -> None:
    key, old = make_key(make_tenant())
    lost = rotate_api_key(key, by=system(key), grace=HOUR, request="deploy-42")
    again = rotate_api_key(key, by=system(key), grace=2 * HOUR, request="deploy-42")
    assert (again.is_repeat, again.previous_ended) == (True, False)
    assert again.key.previous_ends_at == lost.key.previous_ends_at
    assert [opens(text) for text in (old, lost.text, again.text)] == ["yes", Refusal.UNKNOWN, "yes"]
    other = rotate_api_key(key, by=system(key), grace=HOUR, request="deploy-43")
    assert [opens(text) for text in (old, again.text, other.text)] == [Refusal.UNKNOWN, "yes", "yes"]


def test_a_key_that_rotates_itself_never_locks_itself_out() -> None:
    tenant = make_tenant()
    _, old = make_key(tenant, scopes=(Scope.KEYS_MANAGE, Scope.INFERENCE))
    texts = []
    for _ in range(3):  # each answer is lost
        me = as_key(old)
        assert me.key is not None
        texts.append(rotate_api_key(me.key, by=me, grace=HOUR).text)
    assert [opens(text) for text in (old, *texts)] == ["yes", Refusal.UNKNOWN, Refusal.UNKNOWN, "yes"]


def test_the_old_secret_is_ended_early_once() -> None:
    key, old = make_key(make_tenant())
    assert not end_previous_secret(key, by=system(key))
    done = rotate_api_key(key, by=system(key), grace=HOUR)
    assert end_previous_secret(key, by=system(key))
    assert not end_previous_secret(key, by=system(key))
    assert (opens(old), opens(done.text)) == (Refusal.ROTATED, "yes")


def test_a_revoked_or_expired_key_is_not_rotated_and_a_grace_has_its_bounds() -> None:
    key, _ = make_key(make_tenant())
    for grace in (timedelta(seconds=-1), GRACE_MAX + timedelta(seconds=1)):
        with pytest.raises(Invalid, match="grace"):
            rotate_api_key(key, by=system(key), grace=grace)
    revoke_api_key(key, actor=TESTS)
    with pytest.raises(Conflict, match="revoked"):
        rotate_api_key(key, by=system(key))
    gone, _ = make_key(key.tenant)
    ApiKey.objects.filter(pk=gone.pk).update(expires_at=timezone.now())
    with pytest.raises(Conflict, match="expired"):
        rotate_api_key(gone, by=system(gone))


def test_I6_nobody_gets_by_rotation_a_secret_of_a_key_that_may_do_more() -> None:
    cast = make_cast()
    bob = as_member(cast.bob, cast.tenant)
    strong, _ = make_key(cast.tenant, scopes=(Scope.USAGE_READ_TENANT,))
    hers, _ = make_key(cast.tenant, owner=cast.alice)
    for key in (strong, hers):
        with pytest.raises(Forbidden):
            rotate_api_key(key, by=bob)
    _, weak = make_key(cast.tenant, scopes=(Scope.KEYS_MANAGE,))
    plain, _ = make_key(cast.tenant)
    with pytest.raises(Forbidden):
        rotate_api_key(plain, by=as_key(weak))
    mine, _ = make_key(cast.tenant, owner=cast.bob)
    assert rotate_api_key(mine, by=bob).key.owner == cast.bob


def test_I6_a_changed_key_never_has_more_than_who_changes_it() -> None:
    cast = make_cast()
    bob = as_member(cast.bob, cast.tenant)
    key, _ = make_key(cast.tenant, ip_ranges=("192.0.2.0/24",))
    with pytest.raises(Forbidden, match="usage:read:tenant"):
        change_api_key(key, by=bob, policy=KeyPolicy(frozenset({Scope.INFERENCE, Scope.USAGE_READ_TENANT})))
    _, tied = make_key(cast.tenant, scopes=(Scope.KEYS_MANAGE, Scope.INFERENCE), ip_ranges=("192.0.2.0/25",))
    tied_caller = access.caller_for_key(
        authenticate(tied, client_ip=ip_address("192.0.2.1"), origin=None, now=timezone.now())
    )
    with pytest.raises(Forbidden, match="ip_ranges"):
        change_api_key(key, by=tied_caller, policy=KeyPolicy(frozenset({Scope.INFERENCE})))
    assert ApiKey.objects.get(pk=key.pk).ip_ranges == ["192.0.2.0/24"]


def test_a_change_is_audited_with_before_and_after_and_nothing_else_moves() -> None:
    cast = make_cast()
    alice = as_member(cast.alice, cast.tenant)
    key, text = mint_api_key(
        maker=alice, project=cast.project, name="ci", policy=KeyPolicy(frozenset({Scope.INFERENCE}))
    )
    assert key.responsible == cast.alice
    assert change_api_key(key, by=alice, name="nightly", responsible=cast.bob)
    assert not change_api_key(key, by=alice, name="nightly", responsible=cast.bob)
    event = AuditEvent.objects.get(action="api_key.changed", target=key.lookup)
    assert told(event) == {
        "before": {"name": "ci", "responsible": str(cast.alice.pseudonym)},
        "after": {"name": "nightly", "responsible": str(cast.bob.pseudonym)},
    }
    now = ApiKey.objects.get(pk=key.pk)
    assert (now.name, now.responsible, policy_of(now)) == ("nightly", cast.bob, policy_of(key))
    assert opens(text) == "yes"


def test_only_a_member_of_the_project_answers_for_its_keys() -> None:
    cast = make_cast()
    alice = as_member(cast.alice, cast.tenant)
    key, _ = make_key(cast.tenant)
    with pytest.raises(Invalid, match="responsible"):
        change_api_key(key, by=alice, responsible=cast.charlie)
    hers, _ = make_key(cast.tenant, owner=cast.alice)
    with pytest.raises(Invalid, match="responsible"):
        change_api_key(hers, by=alice, responsible=cast.bob)


def test_a_rotation_moves_a_key_to_the_new_pepper_and_the_old_one_is_needed_for_the_grace(settings: Settings) -> None:
    ((number, pepper),) = settings.KEY_PEPPERS.items()
    key, old = make_key(make_tenant())
    settings.KEY_PEPPERS = {number: pepper, 910: bytes(32)}
    new = rotate_api_key(key, by=system(key), grace=HOUR).text
    assert (opens(old), opens(new)) == ("yes", "yes")
    assert live_keys_by_pepper(timezone.now())[910] == 1
    before = live_keys_by_pepper(timezone.now())[number]
    end_previous_secret(key, by=system(key))
    assert live_keys_by_pepper(timezone.now())[number] == before - 1
    settings.KEY_PEPPERS = {910: bytes(32)}
    assert (opens(old), opens(new)) == (Refusal.UNKNOWN, "yes")


def test_no_secret_is_in_the_audit_chain_or_the_row() -> None:
    key, old = make_key(make_tenant())
    new = rotate_api_key(key, by=system(key), grace=HOUR, request="a request").text
    kept = str(list(AuditEvent.objects.filter(tenant=key.tenant).values())) + str(
        ApiKey.objects.filter(pk=key.pk).values()
    )
    assert not [text for text in (old, new, "a request") if text.split("_")[-2:][0] in kept]


def test_what_the_tenant_demands_is_asked_at_a_rotation() -> None:
    key, _ = make_key(make_tenant())
    set_key_rules(by=system(key), rules=KeyRules(longest_life_days=30))
    with pytest.raises(Conflict, match="change the key first"):
        rotate_api_key(key, by=system(key))


def test_the_last_use_of_each_secret_is_known_and_writing_it_changes_no_policy() -> None:
    key, old = make_key(make_tenant())
    version = ApiKey.objects.get(pk=key.pk).policy_version
    now = timezone.now()

    def use(text: str) -> None:
        note_use(authenticate(text, client_ip=None, origin=None, now=now), now)

    use(old)
    assert last_used_at(ApiKey.objects.select_related("use").get(pk=key.pk)) == now
    assert ApiKey.objects.get(pk=key.pk).policy_version == version
    new = rotate_api_key(key, by=system(key), grace=HOUR).text
    known = KeyUse.objects.get(pk=key.pk)
    assert (known.last_used_at, known.previous_last_used_at) == (None, now)
    use(new)
    known.refresh_from_db()
    assert (known.last_used_at, known.previous_last_used_at) == (now, now)
