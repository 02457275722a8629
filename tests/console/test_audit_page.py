"""The audit page: sentences, filters, the chain's state, the chain as a file."""

import csv
import io
import json
from html import unescape
from ipaddress import ip_address
from typing import Any

import pytest
from django.db import transaction
from django.utils.html import strip_tags

from console.audit_lines import audit_lines, changes_of
from identity.access import Caller
from identity.api_keys import revoke_api_key
from identity.audit import Actor, record
from identity.audit_context import Door, through
from identity.audit_refusals import record_refusal
from identity.audit_signing import public_keys
from identity.audit_trail import events_about
from identity.audit_verifier import ChainVerifier, verify_export
from identity.members import change_member
from identity.models import AuditEvent, AuditHead, AuditName, AuditVerification, Role
from identity.projects import change_project, create_project
from tests.support.console import page, signed_in
from tests.support.people import Cast, as_member, make_cast, make_key, make_person

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def cast() -> Cast:
    """alice renamed the project and revoked bob's key, from an address."""
    cast = make_cast()
    key, _ = make_key(cast.tenant, owner=cast.bob)
    with through(Door.PAGE, ip_address("192.0.2.7")):
        change_project(cast.project, name="Chat <b>bot</b>", cost_centre="CC-7", actor=Actor.person(cast.alice))
        revoke_api_key(key, actor=Actor.person(cast.alice), reason="leaked")
    return cast


def text_of(response: Any) -> str:
    return b"".join(response.streaming_content).decode()


def address(cast: Cast, rest: str = "") -> str:
    return f"/t/{cast.tenant.slug}/audit{rest}"


def test_events_are_sentences_newest_first(cast: Cast) -> None:
    text = page(signed_in(cast.alice).get(address(cast)))
    revoked, changed = text.index("revoked the key"), text.index("changed the project")
    assert revoked < changed
    assert "<strong>Alice</strong> revoked the key" in text
    assert "a key (bfr_" in text
    assert "192.0.2.7" in text
    assert "Chat <b>" not in text


@pytest.mark.parametrize(
    ("route", "place"),
    [("key-new", "Keys"), ("access-reviews", "Members"), ("front", "front"), ("key-rules", "Settings")],
)
def test_a_refusal_names_the_pages_that_were_asked_for(cast: Cast, route: str, place: str) -> None:
    record_refusal(actor=Actor.person(cast.bob), tenant=cast.tenant, status=403, route=route, asked={})
    text = unescape(strip_tags(page(signed_in(cast.alice).get(address(cast)))))
    assert f"was refused access to “{place}”" in text


def test_an_event_shows_before_and_after(cast: Cast) -> None:
    event = AuditEvent.objects.get(tenant=cast.tenant, action="project.changed")
    text = page(signed_in(cast.alice).get(address(cast, f"/{event.sequence}")))
    assert "Chat &lt;b&gt;bot&lt;/b&gt;" in text
    assert bytes(event.hash).hex() in text
    assert public_keys()[0] in text
    assert [(change.label, change.before, change.after) for change in changes_of(event)] == [
        ("Cost centre", "", "CC-7"),
        ("Name", "Default", "Chat <b>bot</b>"),
    ]
    assert signed_in(cast.alice).get(address(cast, "/999999")).status_code == 404


def test_an_older_record_shows_before_and_after_as_well(cast: Cast) -> None:
    old = {"role": "auditor", "projects": None, "role_before": "owner", "projects_before": [7]}
    with transaction.atomic():
        told = {"tenant": cast.tenant, "actor": Actor.person(cast.alice), "action": "member.changed"}
        event = record(target=cast.bob, detail=old, **told)  # type: ignore[arg-type]
    shown = {change.label: (change.before, change.after) for change in changes_of(event)}
    assert shown == {"Role": ("owner", "auditor"), "Projects": ("7", None)}
    change_member(by=as_member(cast.alice, cast.tenant), person=cast.bob, role=Role.AUDITOR)
    event = AuditEvent.objects.filter(tenant=cast.tenant, action="member.changed").latest("sequence")
    assert event.detail == {
        "before": {"role": "developer", "projects": None},
        "after": {"role": "auditor", "projects": None},
    }


@pytest.mark.parametrize(
    ("query", "actions"),
    [
        ("action=api_key", ["api_key.revoked", "api_key.minted"]),
        ("action=api_key.minted", ["api_key.minted"]),
        ("door=page", ["api_key.revoked", "project.changed"]),
        ("actor={alice}&door=page", ["api_key.revoked", "project.changed"]),
        ("target_kind=apikey&target={key}", ["api_key.revoked", "api_key.minted"]),
        ("since=2020-01-01&until=2020-01-02", []),
        ("since=nonsense&door=page", ["api_key.revoked", "project.changed"]),
        ("after=3&actor=tests", ["member.added", "tenant.created"]),
    ],
)
def test_filters(cast: Cast, query: str, actions: list[str]) -> None:
    values = {"alice": cast.alice.pseudonym, "key": cast.tenant.api_keys.get().lookup}
    response = signed_in(cast.alice).get(address(cast, "?" + query.format(**values)), headers={"HX-Request": "true"})
    assert [line.event.action for line in response.context["lines"]] == actions
    assert "<html" not in response.content.decode()


def test_a_long_chain_is_paged_by_sequence(cast: Cast) -> None:
    for _ in range(60):
        with transaction.atomic():
            record(tenant=cast.tenant, actor=Actor.person(cast.alice), action="api_key.changed", target=cast.project)
    client = signed_in(cast.alice)
    first = client.get(address(cast))
    sequences = [line.sequence for line in first.context["lines"]]
    second = client.get(address(cast, f"?after={first.context['next']}"))
    assert sequences + [line.sequence for line in second.context["lines"]] == list(range(sequences[0], 0, -1))


def test_the_chain_is_verified_at_a_button(cast: Cast) -> None:
    client = signed_in(cast.alice)
    assert "was not verified yet" in page(client.get(address(cast)))
    text = page(client.post(address(cast, "/verify"), follow=True))
    links = AuditHead.objects.get(tenant=cast.tenant).sequence
    assert f"The chain holds: {links} links." in text
    assert f"{links} links hold" in text
    AuditVerification.objects.filter(tenant=cast.tenant).update(broken_sequence=4)
    assert "broken at link 4" in page(client.get(address(cast)))


def test_X4_the_exported_file_verifies(cast: Cast) -> None:
    response = signed_in(cast.alice).get(address(cast, "/export.jsonl"))
    assert response["Content-Disposition"] == f'attachment; filename="audit-{cast.tenant.slug}.jsonl"'
    lines = text_of(response).splitlines()
    found = verify_export(lines, ChainVerifier(trusted=frozenset(public_keys()), tenant=cast.tenant.pk))
    assert (found.flaw, found.links) == (None, AuditHead.objects.get(tenant=cast.tenant).sequence)
    assert json.loads(lines[-2])["action"] == "audit.exported"  # the export tells of itself
    assert signed_in(cast.alice).get(address(cast, "/export.xlsx")).status_code == 404


def test_a_spreadsheet_runs_nothing_of_an_export(cast: Cast) -> None:
    create_project(cast.tenant, "=1+1", actor=Actor.person(cast.alice))
    response = signed_in(cast.alice).get(address(cast, "/export.csv?action=project"))
    rows = list(csv.DictReader(io.StringIO(text_of(response))))
    assert [row["action"] for row in rows] == ["project.changed", "project.created"]
    assert [row["target_name"] for row in rows] == ["Default", "'=1+1"]
    assert (rows[0]["address"], rows[0]["actor_name"], rows[0]["door"]) == ("192.0.2.7", "alice", "page")


def test_a_role_without_the_audit_has_none(cast: Cast) -> None:
    client = signed_in(cast.bob)
    assert client.get(address(cast)).status_code == 403
    assert client.get(address(cast, "/export.csv")).status_code == 403
    assert events_about(as_member(cast.bob, cast.tenant), cast.project) == []
    auditor = make_person("auditor", cast.tenant, Role.AUDITOR)
    assert "revoked the key" in page(signed_in(auditor).get(address(cast)))


def test_a_thing_has_its_own_audit(cast: Cast) -> None:
    caller = as_member(cast.alice, cast.tenant)
    lines = audit_lines(caller, events_about(caller, cast.tenant.api_keys.get()))
    assert [line.event.action for line in lines] == ["api_key.revoked", "api_key.minted"]
    assert [line.event.action for line in audit_lines(caller, events_about(caller, cast.bob))] == ["member.added"]


def test_names_that_were_erased_are_told_as_such(cast: Cast) -> None:
    AuditName.objects.filter(event__tenant=cast.tenant).delete()
    caller = Caller.system("tests", cast.tenant)
    event = AuditEvent.objects.get(tenant=cast.tenant, action="api_key.revoked")
    sentence = str(audit_lines(caller, [event])[0].sentence)
    assert f"A person whose name is no longer kept ({str(cast.alice.pseudonym)[:8]})" in sentence
    text = page(signed_in(cast.alice).get(address(cast)))
    assert "no longer kept" in text
