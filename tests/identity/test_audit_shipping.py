"""The audit on its way to the operator's collectors: real receivers, which die and come back."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone

from identity import audit
from identity.audit_shipping import how_far_behind
from identity.audit_verifier import ChainVerifier
from identity.errors import Conflict, Forbidden, Invalid
from identity.log_exports import ExportSettings, Protocol, add_export, change_export, remove_export, try_export
from identity.models import AuditEvent, LogExport, Notice, OperatorRole, Tenant
from identity.operators import operator_for_person
from identity.shipping import ship
from tests.identity.conftest import Add
from tests.support.collectors import SyslogReceiver, otlp_collector, syslog_receiver
from tests.support.installation import wait_for
from tests.support.ledger import unique
from tests.support.operators import RUNS
from tests.support.people import TESTS, make_operator, make_tenant

pytestmark = pytest.mark.usefixtures("database")


def happen(tenant: Tenant, count: int = 1) -> None:
    """So many more links of a tenant's chain, with a name and an address that are kept beside it."""
    for number in range(count):
        with transaction.atomic():
            detail = {"number": number, "email": "zoe@example.org"}
            audit.record(actor=TESTS, action="tenant.changed", target=tenant, tenant=tenant, detail=detail)


def ship_until(is_there: Callable[[], bool]) -> None:
    """Others' workers may be at it too: what they hold is theirs for a moment."""
    wait_for(lambda: ship(seconds=5) >= 0 and is_there(), lambda: "not shipped", 20)


def due(export: LogExport) -> None:
    """The pause after a failure is over."""
    LogExport.objects.filter(pk=export.pk).update(next_try_at=timezone.now() - timedelta(seconds=1))


def sequences(receiver: SyslogReceiver, tenant: Tenant) -> list[int]:
    return [line["sequence"] for line in receiver.lines(tenant.pk)]


def test_O3_a_chain_arrives_by_syslog_over_tls_whole_in_order_and_can_be_verified(add: Add, tmp_path: Path) -> None:
    tenant = make_tenant()
    with syslog_receiver(tmp_path) as receiver:
        add(Protocol.SYSLOG_TLS, f"127.0.0.1:{receiver.port}", trusted=receiver.trusted, from_beginning=True)
        happen(tenant, 250)
        last = AuditEvent.objects.filter(tenant=tenant).latest("sequence")
        ship_until(lambda: len(receiver.lines(tenant.pk)) >= last.sequence)
    assert sequences(receiver, tenant) == list(range(1, last.sequence + 1))
    verifier = ChainVerifier(tenant=tenant.pk)
    for line in receiver.lines(tenant.pk):
        verifier.event(line)
    assert (verifier.flaw, verifier.hash) == (None, bytes(last.hash))
    message = next(one for one in receiver.messages if json.loads(one["text"])["tenant"] == tenant.pk)
    assert (message["priority"], message["app"], message["structured"]) == ("110", "beffroi", "-")
    assert not [one for one in receiver.messages if "zoe@" in one["text"]]


def test_O3_a_receiver_that_dies_and_comes_back_misses_nothing(add: Add, tmp_path: Path) -> None:
    tenant = make_tenant()
    with syslog_receiver(tmp_path, is_tls=False) as receiver:
        export = add(Protocol.SYSLOG_TCP, f"127.0.0.1:{receiver.port}")
        start = AuditEvent.objects.filter(tenant=tenant).latest("sequence").sequence
        happen(tenant, 3)
        ship_until(lambda: len(sequences(receiver, tenant)) >= 3)
        receiver.dies_after = 1  # it reads something and is killed, again and again
        happen(tenant, 40)
        ship_until(lambda: LogExport.objects.get(pk=export.pk).attempts >= 1)
        receiver.stop()
        happen(tenant, 2)
        due(export)
        ship_until(lambda: LogExport.objects.get(pk=export.pk).attempts >= 2)
        export.refresh_from_db()
        assert export.fault == LogExport.Fault.UNREACHABLE
        assert export.next_try_at is not None
        assert export.next_try_at > timezone.now() + timedelta(seconds=5)
        assert how_far_behind()[export.pk] >= 42
        LogExport.objects.filter(pk=export.pk).update(attempts=17, name=(name := unique("Archive")))
        due(export)
        ship_until(lambda: Notice.objects.filter(tenant=None, context__name=name).count() == 1)
        receiver.dies_after = None
        receiver.start()
        due(export)
        ship_until(lambda: start + 45 in sequences(receiver, tenant))
        back = LogExport.objects.get(pk=export.pk)
        assert (back.attempts, back.next_try_at) == (0, None)
    came = sequences(receiver, tenant)
    assert list(dict.fromkeys(came)) == list(range(start + 1, start + 46))


def test_what_commits_late_is_not_left_out(add: Add, tmp_path: Path) -> None:
    """A link's id is drawn when it is written, not when it is seen: a cursor over ids would jump over it."""
    slow, quick = make_tenant(), make_tenant()
    written, shipped = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with transaction.atomic():
            audit.record(actor=TESTS, action="tenant.changed", target=slow, tenant=slow)
            written.set()
            shipped.wait(20)
        connection.close()

    with syslog_receiver(tmp_path, is_tls=False) as receiver:
        add(Protocol.SYSLOG_TCP, f"127.0.0.1:{receiver.port}")
        thread = threading.Thread(target=write_slowly)
        thread.start()
        assert written.wait(20)
        happen(quick)
        ship_until(lambda: bool(receiver.lines(quick.pk)))
        assert receiver.lines(slow.pk) == []
        shipped.set()
        thread.join()
        ship_until(lambda: bool(receiver.lines(slow.pk)))
        assert receiver.lines(slow.pk)[0]["action"] == "tenant.changed"


def test_O3_a_chain_arrives_by_otlp_with_names_where_they_are_wanted(add: Add, tmp_path: Path) -> None:
    tenant = make_tenant()
    with otlp_collector(tmp_path) as collector:
        trusted = (tmp_path / "certificate.pem").read_text()
        export = add(
            Protocol.OTLP, collector.url, trusted=trusted, authorization="Bearer a-word-of-theirs", with_names=True
        )
        assert b"a-word-of-theirs" not in bytes(export.sealed_authorization or b"")
        collector.statuses = [503]
        happen(tenant)
        ship_until(lambda: not collector.statuses)
        wait_for(lambda: LogExport.objects.get(pk=export.pk).attempts == 1, lambda: "no failure", 10)
        export.refresh_from_db()
        assert (export.fault, export.fault_status) == (LogExport.Fault.STATUS, 503)
        assert export.next_try_at is not None
        assert export.next_try_at > timezone.now() + timedelta(minutes=14)
        due(export)
        collector.drops = 1
        ship_until(lambda: bool(collector.of_tenant(tenant.pk)))
        record = collector.of_tenant(tenant.pk)[0]
        told = {one["key"]: one["value"] for one in record["attributes"]}
        assert told["beffroi.action"] == {"stringValue": "tenant.changed"}
        assert told["beffroi.tenant"] == {"intValue": str(tenant.pk)}
        assert "zoe@example.org" in record["body"]["stringValue"]
        assert {head["Authorization"] for head in collector.heads} == {"Bearer a-word-of-theirs"}
        wait_for(lambda: LogExport.objects.get(pk=export.pk).fault == "records", lambda: "no word of drops", 10)


def test_a_collector_is_set_by_who_operates_and_told_in_the_chain(add: Add, tmp_path: Path) -> None:
    with syslog_receiver(tmp_path) as receiver:
        export = add(Protocol.SYSLOG_TLS, f"127.0.0.1:{receiver.port}")
        assert try_export(by=RUNS, export_id=export.pk).fault == LogExport.Fault.NO_TLS
        settings = ExportSettings("SIEM", Protocol.SYSLOG_TLS, export.address, trusted=receiver.trusted)
        change_export(by=RUNS, export_id=export.pk, settings=settings)
        assert try_export(by=RUNS, export_id=export.pk).is_delivered
        assert json.loads(receiver.messages[-1]["text"])["type"] == "test"
        with pytest.raises(Conflict):
            add_export(by=RUNS, settings=settings, from_beginning=False)
    for role in (OperatorRole.SUPPORT, OperatorRole.BILLING):
        with pytest.raises(Forbidden):
            remove_export(by=operator_for_person(make_operator(role)), export_id=export.pk)
    remove_export(by=RUNS, export_id=export.pk)
    told = AuditEvent.objects.filter(tenant=None, target_kind="log_export", target=str(export.pk)).order_by("sequence")
    actions = [event.action for event in told]
    assert actions == [f"log_export.{what}" for what in ("added", "tested", "changed", "tested", "removed")]


@pytest.mark.parametrize(
    ("protocol", "address", "more", "field"),
    [
        (Protocol.SYSLOG_TLS, "siem.example.org", {}, "address"),
        (Protocol.SYSLOG_TLS, "https://siem.example.org:6514", {}, "address"),
        (Protocol.SYSLOG_TCP, "siem.example.org:0", {}, "address"),
        (Protocol.OTLP, "siem.example.org:4318", {}, "address"),
        (Protocol.OTLP, "https://user:word@siem.example.org", {}, "address"),
        (Protocol.OTLP, "https://siem.example.org/?key=word", {}, "address"),
        (Protocol.SYSLOG_TLS, "siem.example.org:6514", {"trusted": "no certificate"}, "trusted"),
        (Protocol.SYSLOG_TLS, "siem.example.org:6514", {"authorization": "Bearer x"}, "authorization"),
        (Protocol.OTLP, "https://siem.example.org", {"authorization": "Bearer x\nHost: y"}, "authorization"),
    ],
)
def test_what_cannot_be_sent_to_is_refused(
    add: Add, protocol: Protocol, address: str, more: dict[str, str], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        add(protocol, address, **more)
    assert refused.value.field == field
