"""The audit chain."""

import hashlib
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.db.transaction import TransactionManagementError

from identity import audit
from identity.audit import Actor, Target, record, verify_chain
from identity.models import AuditEvent, AuditHead, Tenant
from tests.support.people import TESTS, make_cast, make_key, make_tenant

pytestmark = pytest.mark.usefixtures("database")


def add_links(tenant: Tenant, count: int) -> None:
    for number in range(count):
        with transaction.atomic():
            record(tenant=tenant, actor=TESTS, action="thing.counted", target=tenant, detail={"number": number})


def as_owner_without_triggers(owner_database_url: str, statement: str, values: list[object]) -> None:
    """What somebody with the owner's rights can do who knows about the triggers."""
    with psycopg.connect(owner_database_url) as owner:
        owner.execute("alter table identity_auditevent disable trigger user")
        owner.execute(statement.encode(), values)
        owner.execute("alter table identity_auditevent enable trigger user")


def test_a_chain_holds_and_begins_with_the_tenants_creation() -> None:
    tenant = make_tenant()
    add_links(tenant, 3)
    verdict = verify_chain(tenant)
    assert verdict.broken is None
    assert verdict.links == 4
    events = list(AuditEvent.objects.filter(tenant=tenant).order_by("sequence"))
    assert [event.sequence for event in events] == [1, 2, 3, 4]
    assert events[0].action == "tenant.created"
    assert bytes(events[0].previous_hash) == bytes(32)
    assert verdict.hash == bytes(events[-1].hash)


def test_anybody_can_check_a_link_with_sha256_and_json() -> None:
    tenant = make_tenant()
    with transaction.atomic():
        record(
            tenant=tenant,
            actor=TESTS,
            action="thing.counted",
            target=Target("thing", "é"),
            detail={"b": [1, None], "a": "ü"},
        )
    first, second = AuditEvent.objects.filter(tenant=tenant).order_by("sequence")
    at = second.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    text = (
        '{"action":"thing.counted","actor":"tests","actor_kind":"system","at":"'
        + at
        + '","detail":{"a":"ü","b":[1,null]},"door":"command","names":{},'
        '"sequence":2,"target":"é","target_kind":"thing","tenant":' + str(tenant.pk) + ',"version":2}'
    )
    assert bytes(second.hash) == hashlib.sha256(bytes(first.hash) + text.encode()).digest()


def test_a_record_outside_of_a_transaction_is_refused() -> None:
    tenant = make_tenant()
    with pytest.raises(TransactionManagementError):
        record(tenant=tenant, actor=TESTS, action="thing.counted", target=tenant)


def test_a_change_that_is_rolled_back_leaves_no_link_and_no_gap() -> None:
    tenant = make_tenant()
    with transaction.atomic():
        record(tenant=tenant, actor=TESTS, action="thing.counted", target=tenant)
        transaction.set_rollback(True)
    add_links(tenant, 1)
    assert verify_chain(tenant)[:3:2] == (2, None)


def test_the_platform_has_a_chain_of_its_own() -> None:
    tenant = make_tenant()
    with transaction.atomic():
        event = record(actor=TESTS, action="thing.counted", target=Target("platform", "itself"))
    assert event.tenant_id is None
    assert verify_chain(None).broken is None
    assert verify_chain(tenant).links == 1


def test_writers_at_the_same_time_keep_one_chain_without_gaps() -> None:
    tenant = make_tenant()
    together = threading.Barrier(8)

    def write() -> None:
        try:
            together.wait(timeout=30)
            add_links(tenant, 25)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        for writer in [pool.submit(write) for _ in range(8)]:
            writer.result(timeout=60)
    verdict = verify_chain(tenant)
    assert verdict.broken is None
    assert verdict.links == 1 + 8 * 25
    times = list(AuditEvent.objects.filter(tenant=tenant).order_by("sequence").values_list("at", flat=True))
    assert times == sorted(times)


def test_the_first_two_writers_of_a_chain_may_come_at_once() -> None:
    tenant = Tenant.objects.create(slug=f"bare-{uuid.uuid4().hex}", name="no link yet")
    begun = threading.Event()

    def second() -> None:
        try:
            begun.wait(timeout=30)
            add_links(tenant, 1)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(second)
        with transaction.atomic():
            record(tenant=tenant, actor=TESTS, action="thing.counted", target=tenant)
            begun.set()
            with pytest.raises(TimeoutError):  # it waits for us
                other.result(timeout=0.3)
        other.result(timeout=30)
    assert verify_chain(tenant)[:3:2] == (2, None)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("detail", '{"number": 99}'),
        ("actor", "somebody else"),
        ("action", "thing.forgotten"),
        ("target", "other"),
        ("at", "2020-01-01T00:00:00Z"),
        ("hash", bytes(32)),
    ],
)
def test_a_changed_link_is_named(owner_database_url: str, column: str, value: object) -> None:
    tenant = make_tenant()
    add_links(tenant, 4)
    change = f"update identity_auditevent set {column} = %s where tenant_id = %s and sequence = 3"
    as_owner_without_triggers(owner_database_url, change, [value, tenant.pk])
    assert verify_chain(tenant).broken == (3, "was changed")


def test_a_changed_link_with_a_fitting_hash_breaks_the_next_one(owner_database_url: str) -> None:
    tenant = make_tenant()
    add_links(tenant, 3)
    forged = AuditEvent.objects.get(tenant=tenant, sequence=2)
    forged.actor = "somebody else"
    values = [forged.actor, audit.hash_of(forged), tenant.pk]
    change = "update identity_auditevent set actor = %s, hash = %s where tenant_id = %s and sequence = 2"
    as_owner_without_triggers(owner_database_url, change, list(values))
    assert verify_chain(tenant).broken == (3, "does not continue the link before it")


@pytest.mark.parametrize(
    ("sequence", "broken"),
    [(1, (1, "missing")), (2, (2, "missing")), (4, (4, "missing at the end of the chain"))],
)
def test_a_removed_link_is_named(owner_database_url: str, sequence: int, broken: tuple[int, str]) -> None:
    tenant = make_tenant()
    add_links(tenant, 3)
    removal = "delete from identity_auditevent where tenant_id = %s and sequence = %s"
    as_owner_without_triggers(owner_database_url, removal, [tenant.pk, sequence])
    assert verify_chain(tenant).broken == broken


def test_a_rewritten_last_link_disagrees_with_the_head(owner_database_url: str) -> None:
    tenant = make_tenant()
    add_links(tenant, 1)
    forged = AuditEvent.objects.get(tenant=tenant, sequence=2)
    forged.actor = "somebody else"
    change = "update identity_auditevent set actor = %s, hash = %s where tenant_id = %s and sequence = 2"
    as_owner_without_triggers(owner_database_url, change, [forged.actor, audit.hash_of(forged), tenant.pk])
    assert verify_chain(tenant).broken == (2, "the chain's head has another hash")


def test_a_chain_whose_head_is_gone_does_not_hold(owner_database_url: str) -> None:
    tenant = make_tenant()
    with psycopg.connect(owner_database_url) as owner:
        owner.execute("alter table identity_audithead disable trigger user")
        owner.execute("delete from identity_audithead where tenant_id = %s", [tenant.pk])
        owner.execute("alter table identity_audithead enable trigger user")
    assert verify_chain(tenant).broken == (1, "the chain has no head")


@pytest.mark.parametrize(
    "statement",
    [
        "update identity_auditevent set actor = 'x'",
        "delete from identity_auditevent",
        "truncate identity_auditevent",
        "delete from identity_audithead",
        "truncate identity_audithead",
    ],
)
class TestI7TheAuditChainOnlyGrows:
    """Two locks: the application has no right, and a trigger stops whoever has it."""

    def test_the_application_has_no_right_to(self, statement: str) -> None:
        with pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
            cursor.execute(statement)

    def test_the_owner_is_stopped_by_a_trigger(self, statement: str, owner_database_url: str) -> None:
        with (
            psycopg.connect(owner_database_url) as owner,
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="the audit chain only grows"),
        ):
            owner.execute(statement.encode())


def test_a_second_link_of_the_same_sequence_is_impossible() -> None:
    tenant = make_tenant()
    first = AuditEvent.objects.get(tenant=tenant)
    first.pk = None
    with pytest.raises(IntegrityError):
        first.save(force_insert=True)


def test_no_key_gets_into_the_chain() -> None:
    tenant = make_tenant()
    _, text = make_key(tenant)
    with pytest.raises(ValueError, match="holds an API key"), transaction.atomic():
        record(tenant=tenant, actor=TESTS, action="thing.counted", target=tenant, detail={"a": [f"it is {text}"]})


@pytest.mark.parametrize("value", [1.5, float("nan"), b"bytes", {1: "x"}, "nul\0", {"a": {"b": (1,)}}])
def test_a_detail_that_would_not_come_back_the_same_is_refused(value: object) -> None:
    tenant = make_tenant()
    with pytest.raises(ValueError, match="audit detail"), transaction.atomic():
        record(tenant=tenant, actor=TESTS, action="thing.counted", target=tenant, detail={"value": value})


def test_what_comes_back_from_the_database_still_fits_its_hash() -> None:
    tenant = make_tenant()
    odd = {"z": 1, "a": -(10**30), "é": '\u2028\U0001f512\\"', "nested": [{"y": None, "x": True}], "": ""}
    with transaction.atomic():
        record(tenant=tenant, actor=TESTS, action="thing.counted", target=tenant, detail=odd)
    assert verify_chain(tenant)[:3:2] == (2, None)


def test_a_detail_has_a_largest_size() -> None:
    tenant = make_tenant()
    with pytest.raises(ValueError, match="at most"), transaction.atomic():
        record(tenant=tenant, actor=TESTS, action="thing.counted", target=tenant, detail={"a": "x" * 70_000})


@pytest.mark.parametrize("action", ["", "minted", "Api.minted", "api key.minted", "a.b.c"])
def test_an_action_is_a_noun_and_what_was_done_to_it(action: str) -> None:
    tenant = make_tenant()
    with pytest.raises(ValueError, match="no action"), transaction.atomic():
        record(tenant=tenant, actor=TESTS, action=action, target=tenant)


def test_people_are_named_by_pseudonym_and_keys_by_look_up() -> None:
    cast = make_cast()
    key, text = make_key(cast.tenant)
    assert Actor.person(cast.alice).name == str(cast.alice.pseudonym)
    assert Actor.operator(cast.alice) == Actor(audit.ActorKind.OPERATOR, str(cast.alice.pseudonym))
    assert Actor.key(key).name == key.lookup
    whole = " ".join(map(str, AuditEvent.objects.filter(tenant=cast.tenant).values_list("target", "actor", "detail")))
    assert str(cast.bob.pseudonym) in whole
    assert key.lookup in whole
    for secret in (cast.alice.email, cast.bob.email, text, text.split("_")[2]):
        assert secret not in whole


def test_the_command_tells_which_chain_is_broken(owner_database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    sound, broken = make_tenant(), make_tenant()
    change = "update identity_auditevent set actor = 'x' where tenant_id = %s"
    as_owner_without_triggers(owner_database_url, change, [broken.pk])
    call_command("verify_audit", tenant=[sound.slug])
    assert f"{sound.slug}: 1 links hold" in capsys.readouterr().out
    with pytest.raises(CommandError, match=broken.slug):
        call_command("verify_audit")
    assert f"{broken.slug}: link 1 was changed" in capsys.readouterr().out
    with pytest.raises(CommandError, match="no such tenant: nobody"):
        call_command("verify_audit", tenant=["nobody"])


def test_the_head_is_where_the_chain_ends() -> None:
    tenant = make_tenant()
    add_links(tenant, 2)
    head = AuditHead.objects.get(tenant=tenant)
    assert (head.sequence, bytes(head.hash)) == (3, verify_chain(tenant).hash)
