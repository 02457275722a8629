"""What the processes log on its way to the operator's collectors: real receivers, which die and come back."""

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from identity import audit, log_spool
from identity.log_exports import Content, ExportSettings, Protocol, change_export
from identity.log_shipping import how_far_behind
from identity.log_spool import SpoolHandler
from identity.models import LogExport, Tenant
from identity.shipping import ship
from tests.identity.conftest import Add
from tests.support.collectors import SyslogReceiver, otlp_collector, syslog_receiver
from tests.support.installation import wait_for
from tests.support.operators import RUNS
from tests.support.people import TESTS, make_tenant

pytestmark = pytest.mark.usefixtures("database")
KEY = "bfr_0123456789_012345678901234567890123456789012_abcdef"


@pytest.fixture
def logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """What the gateway of this machine logs."""
    monkeypatch.setattr(settings, "LOG_SPOOL", str(tmp_path / "spool"))
    logger = logging.Logger("beffroi.ledger", logging.INFO)  # noqa: LOG001  of this test alone
    logger.addHandler(SpoolHandler(folder=tmp_path / "spool", process="gateway 1"))
    return logger


def ship_until(is_there: Callable[[], bool]) -> None:
    """Others' workers may be at it too: what they hold is theirs for a moment."""
    wait_for(lambda: ship(seconds=5) >= 0 and is_there(), lambda: "not shipped", 20)


def due(export: LogExport) -> None:
    """The pause after a failure is over."""
    LogExport.objects.filter(pk=export.pk).update(next_try_at=timezone.now() - timedelta(seconds=1))


def texts(receiver: SyslogReceiver) -> list[str]:
    return [line["text"] for line in receiver.logged]


def happen(tenant: Tenant) -> None:
    with transaction.atomic():
        audit.record(actor=TESTS, action="tenant.changed", target=tenant, tenant=tenant)


def test_O3_lines_arrive_by_syslog_in_order_without_a_secret(add: Add, logger: logging.Logger, tmp_path: Path) -> None:
    logger.warning("before there was a collector")
    with syslog_receiver(tmp_path) as receiver:
        add(Protocol.SYSLOG_TLS, f"127.0.0.1:{receiver.port}", trusted=receiver.trusted, content=Content.LOGS)
        for number in range(700):
            logger.warning("the database is away: %d wait", number)
        logger.error("planted: %s", KEY)
        ship_until(lambda: len(receiver.messages) >= 701)
        assert texts(receiver) == [*(f"the database is away: {n} wait" for n in range(700)), "planted: …"]
        assert KEY not in str([one["text"] for one in receiver.messages])
        first, last = receiver.messages[0], receiver.messages[-1]
        assert (first["priority"], first["id"], first["app"]) == (str(3 * 8 + 4), "beffroi.ledger", "beffroi")
        assert first["process"].isdigit()
        assert last["priority"] == str(3 * 8 + 3)
        assert ship(seconds=1) == 0
        assert len(receiver.messages) == 701


def test_O3_a_collector_that_dies_misses_nothing_that_the_spool_has_room_for(
    add: Add, logger: logging.Logger, tmp_path: Path
) -> None:
    with syslog_receiver(tmp_path, is_tls=False) as receiver:
        export = add(Protocol.SYSLOG_TCP, f"127.0.0.1:{receiver.port}", content=Content.LOGS)
        logger.info("line 0")
        ship_until(lambda: "line 0" in texts(receiver))
        receiver.dies_after = 1
        logger.info("line 1")
        ship_until(lambda: LogExport.objects.get(pk=export.pk).attempts >= 1)
        receiver.stop()
        logger.info("line 2")
        due(export)
        ship_until(lambda: LogExport.objects.get(pk=export.pk).attempts >= 2)
        assert how_far_behind()[export.pk] > 0
        receiver.dies_after = None
        receiver.start()
        due(export)
        ship_until(lambda: "line 2" in texts(receiver))
        assert list(dict.fromkeys(texts(receiver))) == ["line 0", "line 1", "line 2"]
        wait_for(lambda: how_far_behind()[export.pk] == 0, lambda: "behind", 10)


def test_O3_what_the_spool_had_no_room_for_is_told_as_one_line(
    add: Add, logger: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_spool, "SEGMENT_BYTES", 2_000)
    monkeypatch.setattr(log_spool, "SEGMENTS_MAX", 3)
    monkeypatch.setattr(log_spool, "_REST_SECONDS", 0)
    with syslog_receiver(tmp_path, is_tls=False) as receiver:
        export = add(Protocol.SYSLOG_TCP, f"127.0.0.1:{receiver.port}", content=Content.LOGS)
        logger.info("line 0")
        ship_until(lambda: "line 0" in texts(receiver))
        receiver.stop()
        for number in range(1, 500):
            logger.info("line %d", number)
        ship_until(lambda: LogExport.objects.get(pk=export.pk).attempts >= 1)
        receiver.start()
        due(export)
        ship_until(lambda: "line 499" in texts(receiver))
    came = [int(text.split()[1]) for text in texts(receiver) if text.startswith("line ")]
    gone = came[1] - 1
    assert came == [0, *range(gone + 1, 500)]
    [told] = [line for line in receiver.logged if line["logger"] == "beffroi.logs"]
    assert (told["dropped"], told["level"]) == (gone, "WARNING")
    export.refresh_from_db()
    assert (export.lines_dropped, export.lines_sent) == (gone, 500 - gone)


def test_O3_both_kinds_go_to_one_collector_by_otlp(add: Add, logger: logging.Logger, tmp_path: Path) -> None:
    tenant = make_tenant()
    with otlp_collector(tmp_path) as collector:
        trusted = (tmp_path / "certificate.pem").read_text()
        add(Protocol.OTLP, collector.url, trusted=trusted, content=Content.BOTH)
        happen(tenant)
        try:
            raise ValueError("a word of a request")
        except ValueError:
            logger.exception("cannot settle")
        ship_until(lambda: bool(collector.of_tenant(tenant.pk) and collector.logged))
        [(process, record)] = collector.logged
        told = {one["key"]: one["value"] for one in record["attributes"]}
        assert (process, record["severityText"]) == ("gateway 1", "ERROR")
        assert record["body"] == {"stringValue": "cannot settle"}
        assert told["exception.stacktrace"]["stringValue"].startswith("ValueError at test_log_shipping.py:")
        assert told["beffroi.logger"] == {"stringValue": "beffroi.ledger"}
        assert "a word" not in str(record)


def test_what_a_collector_gets_can_be_changed_and_begins_then(add: Add, logger: logging.Logger, tmp_path: Path) -> None:
    tenant = make_tenant()
    with syslog_receiver(tmp_path, is_tls=False) as receiver:
        export = add(Protocol.SYSLOG_TCP, f"127.0.0.1:{receiver.port}", content=Content.LOGS)
        logger.info("for it")
        happen(tenant)
        ship_until(lambda: texts(receiver) == ["for it"])
        assert receiver.lines(tenant.pk) == []
        to_audit = ExportSettings("SIEM", Protocol.SYSLOG_TCP, export.address, content=Content.AUDIT)
        change_export(by=RUNS, export_id=export.pk, settings=to_audit)
        logger.info("not for it")
        happen(tenant)
        ship_until(lambda: len(receiver.lines(tenant.pk)) == 1)
        assert texts(receiver) == ["for it"]


def test_without_a_spool_there_is_nothing_to_send(add: Add, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "LOG_SPOOL", "")
    with syslog_receiver(tmp_path, is_tls=False) as receiver:
        export = add(Protocol.SYSLOG_TCP, f"127.0.0.1:{receiver.port}", content=Content.LOGS)
        assert ship(seconds=1) >= 0
        assert LogExport.objects.get(pk=export.pk).attempts == 0
        assert how_far_behind() == {}
        assert receiver.messages == []
