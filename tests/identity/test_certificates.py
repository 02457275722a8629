"""Certificates as a client sees them: looked at over TLS, kept, and told of before they end."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone

from console.set_up_list import State, set_up_lines
from gateway.pools.sealed_secrets import COLUMNS
from identity.certificates import Server, UsedFor, look_at, remind_operators
from identity.log_exports import ExportSettings, Protocol, add_export, remove_export
from identity.models import Certificate, Notice, OperatorKey
from identity.sealed_secrets import sealed_by_key
from identity.secret_box import box_of_this_process
from tests.support.collectors import syslog_receiver
from tests.support.console import page, signed_in
from tests.support.operators import RUNS
from tests.support.people import make_operator

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def _nothing_else_ends(database: None) -> Iterator[None]:
    """No key of another test ends sooner, and no certificate of these is left."""
    OperatorKey.objects.filter(revoked_at=None).update(revoked_at=timezone.now())
    yield
    Certificate.objects.all().delete()


def line() -> tuple[State, str]:
    return next((one.state, str(one.why)) for one in set_up_lines() if one.key == "credentials")


def told_of(certificate: Certificate) -> int:
    return Notice.objects.filter(tenant=None, kind="certificate.ends", context__name=str(certificate)).count()


def test_a_certificate_is_seen_kept_and_told_of_once_before_it_ends(tmp_path: Path) -> None:
    now = timezone.now()
    with syslog_receiver(tmp_path) as receiver:
        here = Server("127.0.0.1", receiver.port, UsedFor.COLLECTOR, allow_private=True)
        look_at([here, here], now=now)
        seen = Certificate.objects.get()
        assert (seen.names, seen.issuer, seen.error) == (["127.0.0.1"], "CN=beffroi", "")
        assert seen.ends_at is not None
        assert timedelta(hours=23) < seen.ends_at - now < timedelta(hours=25)
    state, why = line()
    assert state == State.BROKEN
    assert f"127.0.0.1:{receiver.port}" in why
    remind_operators(now)
    remind_operators(now + timedelta(minutes=1))
    assert told_of(seen) == 1
    look_at([here], now=now + timedelta(hours=1))
    again = Certificate.objects.get()
    assert again.error
    assert again.ends_at == seen.ends_at
    shown = page(signed_in(make_operator()).get(reverse("operator-credentials")))
    assert "not seen at the last look" in shown
    look_at([], now=now)
    assert not Certificate.objects.exists()


def test_a_server_in_the_house_is_looked_at_only_where_it_may_be(tmp_path: Path) -> None:
    with syslog_receiver(tmp_path) as receiver:
        look_at([Server("127.0.0.1", receiver.port, UsedFor.PROVIDER, allow_private=False)], now=timezone.now())
    seen = Certificate.objects.get()
    assert (seen.ends_at, seen.error) == (None, "the name leads into a network that is not allowed here")


def test_the_page_counts_what_needs_a_key_and_shows_no_secret() -> None:
    before, number = sealed_by_key(COLUMNS), box_of_this_process().number
    to = ExportSettings("SIEM", Protocol.OTLP, "https://127.0.0.1:9", authorization="Bearer a-word")
    export = add_export(by=RUNS, settings=to, from_beginning=False)
    try:
        assert sealed_by_key(COLUMNS) == before | {number: before.get(number, 0) + 1}
        shown = page(signed_in(make_operator()).get(reverse("operator-credentials")))
    finally:
        remove_export(by=RUNS, export_id=export.pk)
    assert "a-word" not in shown
    assert "BEFFROI_KEY_PEPPERS" in shown
