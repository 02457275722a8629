"""Refusals in the audit chain: told, and never without bound."""

import uuid

import pytest

from identity import audit_refusals
from identity.audit import Actor, verify_chain
from identity.audit_refusals import LINKS_AN_HOUR, close_hours, record_refusal
from identity.models import AuditEvent, AuditRefusalCount
from tests.support.people import make_cast, make_key, make_person

pytestmark = pytest.mark.usefixtures("database")


def test_X4_the_first_refusals_of_an_hour_are_told_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    cast = make_cast()
    bob = Actor.person(cast.bob)
    told = [
        record_refusal(actor=bob, tenant=cast.tenant, status=403, route="members", asked={}, lacks="member:read")
        for _ in range(LINKS_AN_HOUR + 5)
    ]
    assert told.count(True) == LINKS_AN_HOUR
    refused = AuditEvent.objects.filter(tenant=cast.tenant, actor=bob.name, action="access.refused")
    assert refused.count() == LINKS_AN_HOUR
    assert refused[0].detail == {"status": 403, "asked": {}, "lacks": "member:read"}
    close_hours()  # the hour is not over
    assert AuditRefusalCount.objects.get(tenant=cast.tenant).count == LINKS_AN_HOUR + 5
    over = audit_refusals._CLOSED.replace("hour < date_trunc('hour', clock_timestamp(), 'UTC')", "hour is not null")
    monkeypatch.setattr(audit_refusals, "_CLOSED", over)
    close_hours()
    close_hours()
    counted = AuditEvent.objects.get(tenant=cast.tenant, action="access.refusals_counted")
    assert (counted.actor, counted.detail) == (bob.name, {"count": 5})
    assert not AuditRefusalCount.objects.filter(tenant=cast.tenant).exists()
    assert verify_chain(cast.tenant).broken is None


def test_what_was_asked_for_never_brings_a_secret_or_a_flood_into_the_chain() -> None:
    cast = make_cast()
    key, text = make_key(cast.tenant)
    asked = {"lookup": text, "key_id": "0123456789", "slug": "x" * 500, "id": "a\nb", "model": "abc", "project_id": 7}
    assert record_refusal(actor=Actor.key(key), tenant=cast.tenant, status=404, route="key", asked=asked)
    assert AuditEvent.objects.get(tenant=cast.tenant, action="access.refused").detail["asked"] == {"project_id": "7"}


def test_what_was_asked_for_is_told_where_there_is_such_a_thing() -> None:
    cast = make_cast()
    key, _ = make_key(cast.tenant)
    asked = {"lookup": key.lookup, "slug": cast.tenant.slug}
    assert record_refusal(actor=Actor.key(key), tenant=cast.tenant, status=403, route="key", asked=asked)
    assert AuditEvent.objects.get(tenant=cast.tenant, action="access.refused").detail["asked"] == asked


def test_a_stranger_writes_into_the_platforms_chain_only() -> None:
    stranger = make_person(f"stranger-{uuid.uuid4().hex[:8]}")
    record_refusal(actor=Actor.person(stranger), tenant=None, status=404, route="keys", asked={"slug": "valbourg"})
    assert AuditEvent.objects.get(actor=str(stranger.pseudonym)).tenant_id is None
