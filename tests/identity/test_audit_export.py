"""X4: anyone can verify an export offline, and a checkpoint finds even a chain that was rewritten as a whole."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction

from identity import audit, audit_signing, audit_verifier
from identity.audit import Actor, record, verify_chain
from identity.audit_context import Door, through
from identity.audit_signing import checkpoint, checkpoint_chains, public_keys
from identity.audit_trail import export_of
from identity.audit_verifier import ChainVerifier, Flaw, verify_export
from identity.models import AuditCheckpoint, AuditEvent, AuditHead, AuditName, Tenant
from tests.support.people import Cast, make_cast

pytestmark = pytest.mark.usefixtures("database")
VERIFIER = Path(audit_verifier.__file__)


def make_chain(links: int = 5) -> Cast:
    """A cast whose tenant's chain has links by Alice from an address, and a checkpoint in the middle."""
    cast = make_cast()
    for number in range(links):
        with through(Door.PAGE, ip_address("192.0.2.7")), transaction.atomic():
            detail = {"number": number, "name": f"thing {number}"}
            record(
                tenant=cast.tenant,
                actor=Actor.person(cast.alice),
                action="thing.counted",
                target=cast.bob,
                detail=detail,
            )
        if number == 1:
            checkpoint(cast.tenant)
    return cast


def exported(tenant: Tenant) -> list[dict[str, Any]]:
    return json.loads(json.dumps(list(export_of(tenant))))  # type: ignore[no-any-return]


def verified(lines: list[dict[str, Any]], **given: Any) -> ChainVerifier:
    verifier = ChainVerifier(trusted=frozenset(public_keys()), **given)
    return verify_export([json.dumps(line) for line in lines], verifier)


def test_X4_an_export_holds_and_says_how_much_was_signed() -> None:
    tenant = make_chain().tenant
    lines = exported(tenant)
    assert [line["type"] for line in lines].count("checkpoint") == 1
    found = verified(lines)
    assert (found.flaw, found.checkpoints, found.erased) == (None, 2, 0)
    assert found.links == found.last_checkpoint == AuditHead.objects.get(tenant=tenant).sequence


EVENT_MEMBERS = (
    "tenant", "sequence", "at", "actor_kind", "actor", "action", "target_kind", "target", "detail", "version", "door",
    "names", "previous_hash", "hash",
)  # fmt: skip


@pytest.mark.parametrize("member", EVENT_MEMBERS)
def test_X4_a_changed_member_of_an_exported_event_is_found_by_its_sequence(member: str) -> None:
    lines = exported(make_chain().tenant)
    changed = next(line for line in lines if line["type"] == "event" and line["sequence"] == 5)
    values: dict[type, Any] = {int: 77, str: "00" * 32, dict: {"a": 1}}
    changed[member] = values[type(changed[member])]
    flaw = verified(lines).flaw
    assert flaw is not None
    assert flaw.sequence == 5
    if member not in ("sequence", "tenant"):
        assert flaw.reason in ("was changed", "does not continue the link before it")


def without(sequence: int) -> Callable[[list[dict[str, Any]]], None]:
    def change(lines: list[dict[str, Any]]) -> None:
        lines.remove(next(line for line in lines if line.get("sequence") == sequence and line["type"] == "event"))

    return change


def swapped(lines: list[dict[str, Any]]) -> None:
    lines[7], lines[8] = lines[8], lines[7]


def cut_off(lines: list[dict[str, Any]]) -> None:
    del lines[-3:]


def cut_before_the_end(lines: list[dict[str, Any]]) -> None:
    del lines[-2]


def forged_name(lines: list[dict[str, Any]]) -> None:
    lines[4]["known_as"]["target"]["content"]["name"] = "Mallory"


def of_another_tenant(lines: list[dict[str, Any]]) -> None:
    lines[3]["tenant"] = 1


def forged_signature(lines: list[dict[str, Any]]) -> None:
    lines[-1]["signature"] = "00" * 64


def forged_statement(lines: list[dict[str, Any]]) -> None:
    lines[-1]["at"] = "2020-01-01T00:00:00.000000Z"


def unreadable(lines: list[dict[str, Any]]) -> None:
    lines[3] = {"type": "event"}


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        (without(1), Flaw(1, "missing")),
        (without(4), Flaw(4, "missing")),
        (swapped, Flaw(6, "missing")),
        (cut_off, Flaw(7, "missing at the end of the export")),
        (cut_before_the_end, Flaw(8, "missing, though a checkpoint after it was signed")),
        (forged_name, Flaw(4, "has names that were changed")),
        (of_another_tenant, Flaw(3, "belongs to another tenant")),
        (forged_signature, Flaw(8, "has a checkpoint with a wrong signature")),
        (forged_statement, Flaw(8, "has a checkpoint with a wrong signature")),
        (unreadable, Flaw(3, "cannot be read, line 4")),
    ],
)
def test_X4_a_tampered_export_names_its_first_broken_link(
    change: Callable[[list[dict[str, Any]]], None], flaw: Flaw
) -> None:
    lines = exported(make_chain().tenant)
    change(lines)
    assert verified(lines).flaw == flaw


def test_X4_a_checkpoint_of_another_key_is_not_believed(settings: Any) -> None:
    lines = exported(make_chain().tenant)
    settings.AUDIT_KEYS = {1: bytes(32)}
    flaw = verified(lines).flaw
    assert flaw is not None
    assert flaw.reason == "has a checkpoint that an unknown key signed"


def test_X4_a_key_that_signs_no_more_is_still_known(settings: Any) -> None:
    cast = make_chain()
    settings.AUDIT_KEYS = {**settings.AUDIT_KEYS, 2: bytes(range(32))}
    assert verify_chain(cast.tenant).broken is None
    lines = exported(cast.tenant)
    assert len({line["public_key"] for line in lines if "public_key" in line}) == 2
    assert verified(lines).flaw is None


def rewrite_everything(tenant: Tenant, url: str) -> None:
    """What the owner of the database can do: forge a link and then every later one and the head."""
    with psycopg.connect(url) as owner:
        owner.execute("alter table identity_auditevent disable trigger user")
        previous = bytes(32)
        for event in AuditEvent.objects.filter(tenant=tenant).order_by("sequence"):
            event.previous_hash = previous
            event.action = "thing.forgotten" if event.sequence == 2 else event.action
            previous = audit.hash_of(event)
            owner.execute(
                "update identity_auditevent set action = %s, previous_hash = %s, hash = %s where id = %s",
                [event.action, event.previous_hash, previous, event.pk],
            )
        owner.execute("update identity_audithead set hash = %s where tenant_id = %s", [previous, tenant.pk])
        owner.execute("alter table identity_auditevent enable trigger user")


def test_X4_who_rewrites_the_whole_chain_is_found_by_a_checkpoint(owner_database_url: str) -> None:
    cast = make_chain()
    kept = audit_verifier.kept_checkpoints(json.dumps(line) for line in exported(cast.tenant))
    rewrite_everything(cast.tenant, owner_database_url)
    assert verify_chain(cast.tenant).broken == (5, "differs from its signed checkpoint")
    with psycopg.connect(owner_database_url) as owner:  # and the checkpoints too
        owner.execute("alter table identity_auditcheckpoint disable trigger user")
        owner.execute("delete from identity_auditcheckpoint where tenant_id = %s", [cast.tenant.pk])
        owner.execute("alter table identity_auditcheckpoint enable trigger user")
    assert verify_chain(cast.tenant).broken is None
    forged = exported(cast.tenant)
    assert verified(forged).flaw is None
    flaw = verified(forged, kept=kept).flaw
    assert flaw is not None
    assert flaw.reason == "differs from its signed checkpoint"


def test_X4_names_that_were_changed_or_invented_are_found(owner_database_url: str) -> None:
    cast = make_chain()
    forged = AuditName.objects.get(event__tenant=cast.tenant, event__sequence=4, part="target")
    with psycopg.connect(owner_database_url) as owner:
        owner.execute("alter table identity_auditname disable trigger user")
        owner.execute('update identity_auditname set content = \'{"name": "Mallory"}\' where id = %s', [forged.pk])
        owner.execute("alter table identity_auditname enable trigger user")
    assert verify_chain(cast.tenant).broken == (4, "has names that were changed")


def test_X4_a_part_of_the_chain_can_be_verified_alone() -> None:
    tenant = make_chain().tenant
    third = AuditEvent.objects.get(tenant=tenant, sequence=3)
    lines = json.loads(json.dumps(list(export_of(tenant, since=third.at))))
    found = verified(lines)
    assert (found.flaw, found.links, found.sequence) == (None, 6, 8)


def test_X4_an_auditor_needs_python_and_cryptography_only(tmp_path: Path) -> None:
    cast = make_chain()
    file, copy = tmp_path / "export.jsonl", tmp_path / "verify.py"
    lines = exported(cast.tenant)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    copy.write_text(VERIFIER.read_text())

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        program = f"import sys; sys.modules['django'] = None; sys.argv = {['verify.py', str(file), *more]!r}\n"
        program += f"exec(compile(open({str(copy)!r}).read(), 'verify.py', 'exec'), {{'__name__': '__main__'}})"
        return subprocess.run(
            [sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path
        )

    sound = run("--public-key", public_keys()[0])
    assert (sound.returncode, sound.stdout) == (0, "8 links hold, 1 to 8; 2 signatures are good.\n"), sound.stderr
    assert run("--tenant", "1").stdout == "BROKEN: link 1 belongs to another tenant.\n"
    assert run("--public-key", "00" * 32).returncode == 1
    lines[5]["detail"] = {"number": 99}
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    broken = run()
    assert (broken.returncode, broken.stdout) == (1, "BROKEN: link 5 was changed.\n")
    with pytest.raises(CommandError, match="link 5 was changed"):
        call_command("verify_audit", file=file)


def test_X4_the_command_verifies_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "export.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in exported(make_chain().tenant)))
    call_command("verify_audit", file=file)
    assert "8 links hold" in capsys.readouterr().out
    with pytest.raises(CommandError, match="an unknown key signed"):
        call_command("verify_audit", file=file, public_key=["00" * 32])


def test_X4_chains_that_grew_are_signed_once_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    cast = make_cast()
    mine = AuditCheckpoint.objects.filter(tenant=cast.tenant)
    checkpoint_chains()
    checkpoint_chains()
    assert [row.sequence for row in mine] == [3]
    with transaction.atomic():
        record(tenant=cast.tenant, actor=Actor.person(cast.alice), action="thing.counted", target=cast.bob)
    checkpoint_chains()
    assert mine.count() == 1
    monkeypatch.setattr(audit_signing, "EVERY", timedelta(0))
    checkpoint_chains()
    assert [row.sequence for row in mine.order_by("sequence")] == [3, 4]
    assert verify_chain(cast.tenant).signed == 4


@pytest.mark.parametrize("statement", ["update identity_auditcheckpoint set sequence = 1", "delete from {}"])
def test_I7_checkpoints_only_grow(statement: str, owner_database_url: str) -> None:
    statement = statement.format("identity_auditcheckpoint")
    with pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
        cursor.execute(statement)
    with (
        psycopg.connect(owner_database_url) as owner,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="only grows"),
    ):
        owner.execute(statement.encode())


def test_a_verifier_stops_at_the_first_flaw() -> None:
    verifier = ChainVerifier()
    verifier.begin(1, bytes(range(32)))
    assert replace(verifier).flaw == Flaw(1, "does not begin the chain")
    verifier.event({})
    assert verifier.links == 0
