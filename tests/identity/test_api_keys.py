"""The life of an API key."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_address

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from identity import api_keys, key_format
from identity.access import Caller
from identity.api_keys import authenticate, mint_api_key, revoke_api_key
from identity.errors import Conflict, Invalid, KeyRefused, Refusal
from identity.key_changes import change_api_key
from identity.key_policy import KeyPolicy
from identity.members import remove_member
from identity.models import ApiKey, AuditEvent
from identity.projects import archive_project
from identity.scopes import Scope
from identity.tenants import reactivate_tenant, suspend_tenant
from tests.support.operators import RUNS
from tests.support.people import (
    TESTS,
    as_member,
    default_project,
    make_cast,
    make_key,
    make_tenant,
)

pytestmark = pytest.mark.usefixtures("database")
NOW = timezone.now()
INFERENCE = KeyPolicy(frozenset({Scope.INFERENCE}))


def authenticated(text: str, *, ip: str | None = "192.0.2.1", origin: str | None = None) -> ApiKey:
    return authenticate(text, client_ip=ip_address(ip) if ip else None, origin=origin, now=timezone.now())


def refusal(text: str, *, ip: str | None = "192.0.2.1", origin: str | None = None) -> Refusal:
    with pytest.raises(KeyRefused) as refused:
        authenticated(text, ip=ip, origin=origin)
    return refused.value.reason


def test_a_minted_key_opens_the_door_and_is_stored_nowhere() -> None:
    tenant = make_tenant()
    key, text = make_key(tenant)
    assert authenticated(text) == key
    assert authenticated(text.encode().decode()).tenant == tenant
    with connection.cursor() as cursor:
        cursor.execute("select row_to_json(k)::text from identity_apikey k where id = %s", [key.pk])
        (row,) = cursor.fetchone()
    assert text.split("_")[2] not in row
    assert text.split("_")[3] not in row.replace(key.lookup, "")


def test_a_typo_is_refused_without_asking_the_database() -> None:
    _, text = make_key(make_tenant())
    with CaptureQueriesContext(connection) as queries:
        assert refusal(text[:-1] + ("0" if text[-1] != "0" else "1")) == Refusal.MALFORMED
        assert refusal("sk-something") == Refusal.MALFORMED
        assert refusal("") == Refusal.MALFORMED
    assert len(queries) == 0


def test_a_well_formed_key_that_nobody_minted_is_unknown() -> None:
    assert refusal(key_format.make_key()[0]) == Refusal.UNKNOWN


def test_the_right_lookup_with_another_secret_is_unknown() -> None:

    key, _ = make_key(make_tenant())
    body = f"bfr_{key.lookup}_{key_format.make_key()[0].split('_')[2]}"
    assert refusal(f"{body}_{key_format._checksum(body.encode()).decode()}") == Refusal.UNKNOWN


def test_a_digest_copied_to_another_row_opens_nothing() -> None:
    tenant = make_tenant()
    mine, text = make_key(tenant)
    victim, _ = make_key(make_tenant())
    ApiKey.objects.filter(pk=victim.pk).update(digest=bytes(mine.digest))
    body = f"bfr_{victim.lookup}_{text.split('_')[2]}"
    assert refusal(f"{body}_{key_format._checksum(body.encode()).decode()}") == Refusal.UNKNOWN


def test_a_revoked_key_is_refused_and_stays_revoked() -> None:
    key, text = make_key(make_tenant())
    assert revoke_api_key(key, actor=TESTS, reason="lost")
    assert refusal(text) == Refusal.REVOKED
    first = ApiKey.objects.get(pk=key.pk).revoked_at
    assert not revoke_api_key(key, actor=TESTS)
    assert ApiKey.objects.get(pk=key.pk).revoked_at == first
    assert AuditEvent.objects.filter(action="api_key.revoked", target=key.lookup).count() == 1


def test_a_key_expires_at_its_instant_and_not_before() -> None:
    end = timezone.now() + timedelta(hours=1)
    key, text = make_key(make_tenant(), expires_at=end)
    assert authenticate(text, client_ip=None, origin=None, now=end - timedelta(microseconds=1)) == key
    with pytest.raises(KeyRefused) as refused:
        authenticate(text, client_ip=None, origin=None, now=end)
    assert refused.value.reason == Refusal.EXPIRED


def test_a_suspended_tenant_and_an_archived_project_close_the_door() -> None:
    tenant = make_tenant()
    key, text = make_key(tenant)
    suspend_tenant(tenant, by=RUNS, reason="unpaid")
    assert refusal(text) == Refusal.TENANT_SUSPENDED
    reactivate_tenant(tenant, by=RUNS, reason="paid")
    assert authenticated(text) == key
    archive_project(key.project, actor=TESTS)
    assert refusal(text) == Refusal.PROJECT_ARCHIVED


def test_a_key_tied_to_addresses_works_from_there_only() -> None:
    key, text = make_key(make_tenant(), ip_ranges=("192.0.2.0/24", "2001:db8::/32"))
    assert authenticated(text, ip="192.0.2.77") == key
    assert authenticated(text, ip="2001:db8::5") == key
    assert refusal(text, ip="198.51.100.1") == Refusal.ADDRESS
    assert refusal(text, ip=None) == Refusal.ADDRESS


def test_browsers_use_a_key_only_from_its_origins() -> None:
    closed, closed_text = make_key(make_tenant())
    key, text = make_key(make_tenant(), origins=("https://App.Example.org:443",))
    assert authenticated(closed_text) == closed
    assert refusal(closed_text, origin="https://app.example.org") == Refusal.ORIGIN
    assert authenticated(text, origin="https://app.example.org") == key
    assert authenticated(text) == key
    for other in ("https://example.org", "http://app.example.org", "https://app.example.org:8443", "null", ""):
        assert refusal(text, origin=other) == Refusal.ORIGIN


def test_a_pepper_is_rotated_and_taken_away(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    ((number, pepper),) = settings.KEY_PEPPERS.items()
    old, old_text = make_key(make_tenant())
    settings.KEY_PEPPERS = {number: pepper, 900: bytes(32)}
    new, new_text = make_key(make_tenant())
    assert (old.pepper_id, new.pepper_id) == (number, 900)
    assert authenticated(old_text) == old
    assert authenticated(new_text) == new
    call_command("key_peppers")
    assert f"pepper {number}: " in (lines := capsys.readouterr().out)
    assert "pepper 900: 1 live keys, new keys take it" in lines
    assert "still needed" in lines
    settings.KEY_PEPPERS = {900: bytes(32)}
    assert refusal(old_text) == Refusal.UNKNOWN
    call_command("key_peppers")
    assert "MISSING" in capsys.readouterr().out
    settings.KEY_PEPPERS = {number: pepper, 901: bytes(32)}
    revoke_api_key(new, actor=TESTS)
    call_command("key_peppers")
    assert "pepper 900" not in capsys.readouterr().out


def test_minting_is_audited_without_the_secret() -> None:
    cast = make_cast()
    alice = as_member(cast.alice, cast.tenant)
    key, text = mint_api_key(maker=alice, project=cast.project, name="ci", policy=INFERENCE, owner=cast.alice)
    event = AuditEvent.objects.get(action="api_key.minted", target=key.lookup)
    assert (event.tenant_id, event.actor) == (cast.tenant.pk, str(cast.alice.pseudonym))
    assert event.detail["scopes"] == ["inference"]
    assert event.detail["owner"] == str(cast.alice.pseudonym)
    assert text.split("_")[2] not in str(event.detail)
    assert key.created_by == cast.alice


MANAGE = frozenset({Scope.KEYS_MANAGE, Scope.INFERENCE})


@pytest.mark.parametrize(
    ("field", "policy"),
    [
        ("scopes", KeyPolicy(frozenset())),
        ("expires_at", KeyPolicy(MANAGE, expires_at=NOW - timedelta(seconds=1))),
        ("allowed_models", KeyPolicy(MANAGE, allowed_models=("",))),
        ("allowed_models", KeyPolicy(MANAGE, allowed_models=("x" * 201,))),
        ("allowed_models", KeyPolicy(MANAGE, allowed_models=tuple(map(str, range(201))))),
        ("ip_ranges", KeyPolicy(MANAGE, ip_ranges=("10.0.0.1/8",))),
        ("ip_ranges", KeyPolicy(MANAGE, ip_ranges=("everywhere",))),
        ("ip_ranges", KeyPolicy(MANAGE, ip_ranges=tuple(f"10.0.0.{n}" for n in range(65)))),
        *(
            ("origins", KeyPolicy(MANAGE, origins=(origin,)))
            for origin in (
                "*",
                "null",
                "",
                "app.example.org",
                "https://",
                "https://*.example.org",
                "https://example.org/path",
                "https://example.org/",
                "https://user@example.org",
                "https://example.org?x",
                "https://exa mple.org",
                "https://example.org:99999",
                "ftp://example.org",
                "https://[::1",
                f"https://{'a' * 260}.org",
            )
        ),
        ("origins", KeyPolicy(MANAGE, origins=tuple(f"https://a{n}.org" for n in range(33)))),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_by_its_field(field: str, policy: KeyPolicy) -> None:
    tenant = make_tenant()
    with pytest.raises(Invalid) as invalid:
        mint_api_key(maker=Caller.system("tests", tenant), project=default_project(tenant), name="k", policy=policy)
    assert invalid.value.field == field


def test_the_longest_policy_fits_into_the_audit_chain() -> None:
    policy = KeyPolicy(
        frozenset(Scope),
        tuple(f"{n:03}" + '"' * 47 for n in range(200)),
        tuple(f"2001:db8:aaaa:bbbb:cccc:dddd:eeee:{n:x}" for n in range(64)),
        tuple(f"https://{n}{'a' * 60}.{'b' * 60}.{'c' * 60}.example.org:12345" for n in range(32)),
    )
    tenant = make_tenant()
    system = Caller.system("tests", tenant)
    key, _ = mint_api_key(maker=system, project=default_project(tenant), name="x" * 200, policy=policy)
    other = KeyPolicy(
        policy.scopes,
        tuple(name[::-1] for name in policy.allowed_models),
        tuple(network.replace("aaaa", "abcd") for network in policy.ip_ranges),
        policy.origins[1:],
    )
    assert change_api_key(key, by=system, name="y" * 200, policy=other)


def test_policies_are_kept_in_one_form() -> None:
    key, _ = make_key(
        make_tenant(),
        allowed_models=(" small ", "small"),
        ip_ranges=(" 192.0.2.1", "192.0.2.1/32"),
        origins=("HTTPS://A.example.org:443", "http://[2001:DB8::1]:8080"),
    )
    assert key.allowed_models == ["small"]
    assert key.ip_ranges == ["192.0.2.1/32"]
    assert key.origins == ["https://a.example.org", "http://[2001:db8::1]:8080"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "line\nbreak", "nul\0", "turned \u202e round"])
def test_a_name_that_makes_no_sense_is_refused(name: str) -> None:
    tenant = make_tenant()
    with pytest.raises(Invalid) as invalid:
        mint_api_key(maker=Caller.system("tests", tenant), project=default_project(tenant), name=name, policy=INFERENCE)
    assert invalid.value.field == "name"


def test_a_key_pasted_as_a_name_is_not_stored() -> None:
    tenant = make_tenant()
    _, text = make_key(tenant)
    with pytest.raises(Invalid, match="must not contain an API key"):
        mint_api_key(maker=Caller.system("tests", tenant), project=default_project(tenant), name=text, policy=INFERENCE)


def test_an_archived_project_gets_no_keys() -> None:
    tenant = make_tenant()
    project = default_project(tenant)
    archive_project(project, actor=TESTS)
    with pytest.raises(Conflict):
        make_key(tenant)


def test_a_project_has_a_largest_number_of_live_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "LIVE_KEYS_OF_A_PROJECT_MAX", 2)
    tenant = make_tenant()
    first, _ = make_key(tenant)
    make_key(tenant)
    with pytest.raises(Conflict):
        make_key(tenant)
    revoke_api_key(first, actor=TESTS)
    make_key(tenant)


def test_I6_a_member_removed_while_a_key_is_made_keeps_no_key() -> None:
    cast = make_cast()
    bob = as_member(cast.bob, cast.tenant)
    made = threading.Event()

    def remove() -> None:
        try:
            made.wait(timeout=30)
            remove_member(by=Caller.system("tests", cast.tenant), person=cast.bob)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        removal = pool.submit(remove)
        with transaction.atomic():
            key, text = mint_api_key(maker=bob, project=cast.project, name="k", policy=INFERENCE, owner=cast.bob)
            made.set()
            with pytest.raises(TimeoutError):  # it waits for the key
                removal.result(timeout=0.3)
        removal.result(timeout=30)
    assert refusal(text) == Refusal.REVOKED
    assert key.owner == cast.bob


def test_two_who_revoke_at_once_leave_one_record() -> None:
    key, _ = make_key(make_tenant())

    def revoke() -> bool:
        try:
            return revoke_api_key(ApiKey.objects.select_related("tenant").get(pk=key.pk), actor=TESTS)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        results = [future.result(timeout=30) for future in [pool.submit(revoke) for _ in range(4)]]
    assert sorted(results) == [False, False, False, True]
    assert AuditEvent.objects.filter(action="api_key.revoked", target=key.lookup).count() == 1
