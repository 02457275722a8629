"""The inbox, one's account and an organisation's settings, as people use them."""

import json
import re
from typing import Any
from uuid import uuid4

import pytest
from django.urls import resolve
from pytest_django import Settings
from standardwebhooks import Webhook as Oracle

from identity.access import tenant_notices_for
from identity.models import Channel, Notice, NoticeAnswer, NoticeDelivery, Role, Tenant, Webhook
from identity.notice_kinds import KINDS, NoticeKind
from identity.notices import inbox, notify, unread_count
from tests.identity.rude_server import serving
from tests.support.console import page, signed_in
from tests.support.people import Cast, as_member, make_operator, make_person, make_quiet_cast

pytestmark = pytest.mark.usefixtures("database")

ENDS = {"model": "small", "ends_on": "2027-03-01", "replacement": "large", "answer_by_on": "2027-01-15"}
TAKEN = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


@pytest.fixture
def cast() -> Cast:
    return make_quiet_cast()


def settings_of(cast: Cast, rest: str = "") -> str:
    return f"/t/{cast.tenant.slug}/settings{rest}"


def test_the_bell_counts_what_is_unread_and_opening_reads(cast: Cast) -> None:
    notice = notify(cast.tenant, "model.deprecated", context=ENDS)
    notify(cast.tenant, "model.deprecated", context=ENDS)
    alice = signed_in(cast.alice)
    assert ">2</span>" in alice.get("/notices/bell", headers={"HX-Request": "true"}).content.decode()
    assert "small ends on 1 March 2027" in page(alice.get(f"/notices/{notice.pk}"))
    assert ">1</span>" in alice.get("/notices/bell", headers={"HX-Request": "true"}).content.decode()
    alice.post("/notices/read")
    assert "badge-dot" not in alice.get("/notices/bell", headers={"HX-Request": "true"}).content.decode()
    assert unread_count(cast.bob) == 2


def test_the_inbox_shows_a_topic_or_what_is_unread(cast: Cast) -> None:
    notify(cast.tenant, "model.deprecated", context=ENDS)
    alice = signed_in(cast.alice)
    assert "small ends on" in page(alice.get("/notices?topic=models&unread=1"))
    assert "Nothing fits" in page(alice.get("/notices?topic=money"))
    alice.post("/notices/read")
    assert "Nothing fits" in page(alice.get("/notices?unread=1"))
    assert "small ends on" in page(alice.get("/notices?topic=nonsense"))


def test_I6_a_stranger_finds_no_notice_of_ours(cast: Cast) -> None:
    notice = notify(cast.tenant, "model.withdrawal_proposed", context=ENDS)
    charlie = signed_in(cast.charlie)
    assert charlie.get(f"/notices/{notice.pk}").status_code == 404
    assert charlie.post(f"/notices/{notice.pk}", {"answer": "yes"}).status_code == 404
    assert "small" not in page(charlie.get("/notices"))


def test_a_consultation_is_answered_and_the_operators_hear_of_it(cast: Cast) -> None:
    notice = notify(cast.tenant, "model.withdrawal_proposed", context=ENDS)
    alice = signed_in(cast.alice)
    assert "Does this suit you?" in page(alice.get(f"/notices/{notice.pk}"))
    alice.post(f"/notices/{notice.pk}", {"answer": "no", "comment": "We need it until May."})
    alice.post(f"/notices/{notice.pk}", {"answer": "yes", "comment": "We found another."})
    answer = NoticeAnswer.objects.get(notice=notice)
    assert (answer.person, answer.is_yes, answer.comment) == (cast.alice, True, "We found another.")
    told = Notice.objects.filter(tenant=None, context__organisation=cast.tenant.name, context__model="small")
    assert {"consultation.objected", "consultation.agreed"} <= set(told.values_list("kind", flat=True))
    plain = notify(cast.tenant, "model.deprecated", context=ENDS)
    alice.post(f"/notices/{plain.pk}", {"answer": "yes"})
    assert not plain.answers.exists()


def test_a_person_chooses_language_look_and_time_zone(cast: Cast) -> None:
    alice = signed_in(cast.alice)
    chosen = {"name": "Alice Martin", "language": "fr", "theme": "dark", "time_zone": "America/Lima"}
    assert alice.post("/account", chosen).status_code == 302
    cast.alice.refresh_from_db()
    assert {field: getattr(cast.alice, field) for field in chosen} == chosen
    shown = page(alice.get("/account"))
    assert '<html lang="fr" data-theme="dark">' in shown
    answer = page(alice.post("/account", chosen | {"name": "bad\u202ename", "theme": "pink"}))
    assert "invalid-feedback" in answer


def test_what_a_person_chose_decides_how_notices_come(cast: Cast, settings: Settings) -> None:
    settings.MAIL_IS_SET_UP = True
    alice = signed_in(cast.alice)
    shown = page(alice.get("/account/notices"))
    on = dict.fromkeys(re.findall(r'name="([\w.:]+)"[^>]* checked', shown), "on")
    assert {"model.deprecated:inbox", "model.deprecated:email"} <= on.keys()
    assert not re.search(r'name="replica', shown)
    del on["model.deprecated:inbox"], on["model.deprecated:email"]
    alice.post("/account/notices", on | {"model.added:email": "on"})

    def ways(kind: str, context: dict[str, Any]) -> set[str]:
        notice = notify(cast.tenant, kind, context=context)
        return set(notice.deliveries.filter(person=cast.alice).values_list("channel", flat=True))

    assert ways("model.deprecated", ENDS) == set()
    assert ways("model.added", {"model": "new", "from_at": "2026-12-01T00:00:00Z"}) == {Channel.INBOX, Channel.EMAIL}
    # What must not be missed cannot be switched off, whatever the form says.
    opened = {"what": "slow", "began_at": "2026-12-01T00:00:00Z", "effect": ""}
    assert Channel.INBOX in ways("incident.opened", opened)
    NoticeDelivery.objects.filter(next_try_at__isnull=False).update(state="given_up", next_try_at=None)


def test_one_ends_ones_own_sessions_only(cast: Cast) -> None:
    alice, elsewhere, bob = signed_in(cast.alice), signed_in(cast.alice), signed_in(cast.bob)
    address = re.search(r"/account/sessions/(\d+)/end", page(alice.get("/account/sessions")))
    assert address is not None
    assert bob.post(address[0]).status_code == 404
    assert alice.post(address[0]).status_code == 302
    assert elsewhere.get("/account").status_code == 302  # to the sign-in
    signed_in(cast.alice)
    alice.post("/account/sessions/end")
    assert not re.search(r"/account/sessions/(\d+)/end", page(alice.get("/account/sessions")))


def test_of_many_sessions_those_used_last_are_shown(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.views.account.SESSIONS_SHOWN", 1)
    alice = signed_in(cast.alice)
    assert "Those used last" not in page(alice.get("/account/sessions"))
    signed_in(cast.alice)
    assert "Those used last" in page(alice.get("/account/sessions"))


def test_ones_own_data_comes_along_and_erasure_is_asked_for_once(cast: Cast) -> None:
    alice = signed_in(cast.alice)
    data = json.loads(alice.post("/account/data/export").content)
    assert data["person"]["email"] == cast.alice.email
    assert data["memberships"][0]["role"] == "owner"
    assert cast.bob.email not in json.dumps(data)
    for _ in range(2):
        alice.post("/account/data/erasure")
    assert Notice.objects.filter(kind="erasure.requested", context__email=cast.alice.email).count() == 1


def test_an_organisation_gets_another_name_and_time_zone(cast: Cast) -> None:
    alice = signed_in(cast.alice)
    assert "budget period that runs" in page(alice.get(settings_of(cast)))
    alice.post(settings_of(cast), {"name": "Ours", "time_zone": "Asia/Tokyo"})
    tenant = Tenant.objects.get(pk=cast.tenant.pk)
    assert (tenant.name, tenant.time_zone) == ("Ours", "Asia/Tokyo")
    assert "tenant.time_zone_changed" in [entry.notice.kind for entry in inbox(cast.alice)]
    assert signed_in(cast.bob).get(settings_of(cast)).status_code == 403
    assert signed_in(cast.charlie).get(settings_of(cast)).status_code == 404


def test_the_key_policy_is_set_and_refused_at_its_field(cast: Cast) -> None:
    alice = signed_in(cast.alice)
    asked = {
        "longest_life_days": "90",
        "default_life_days": "30",
        "ip_ranges": "192.0.2.0/24",
        "creators": "developers",
    }
    assert alice.post(settings_of(cast, "/keys"), asked).status_code == 302
    assert 'value="90"' in page(alice.get(settings_of(cast, "/keys")))
    wrong = page(alice.post(settings_of(cast, "/keys"), asked | {"ip_ranges": "nonsense"}))
    assert 'id="id_ip_ranges_error"' in wrong


def test_a_webhook_from_its_first_test_to_its_end(cast: Cast, settings: Settings) -> None:
    settings.WEBHOOKS_MAY_BE_PRIVATE = True
    alice = signed_in(cast.alice)
    with serving(TAKEN) as server:
        form = {"name": "Alarms", "url": f"http://127.0.0.1:{server.port}/in"}
        made = page(alice.post(settings_of(cast, "/webhooks"), form))
        webhook = Webhook.objects.get(tenant=cast.tenant)
        address = settings_of(cast, f"/webhooks/{webhook.public_id}")
        secret = re.search(r"whsec_[\w+/=]+", made)
        assert secret is not None
        assert "whsec_" not in page(alice.get(address))
        tested = page(alice.post(f"{address}/test", follow=True))
        assert "Delivered: the receiver answered 204." in tested
        head, _, body = server.asked[0].partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        assert Oracle(secret[0]).verify(body, headers)["type"] == "webhook.tested"
        assert "whsec_" in page(alice.post(f"{address}/rotate"))
        again = re.search(rf"{address}/deliveries/[\w-]+/again", tested)
        assert again is not None
        alice.post(again[0])
    assert len(server.asked) == 2
    auditor = signed_in(make_person("ada", cast.tenant, Role.AUDITOR))
    assert "Send a test" not in page(auditor.get(address))
    assert auditor.post(f"{address}/test").status_code == 403
    assert auditor.post(address, form).status_code == 403
    assert signed_in(cast.charlie).get(address).status_code == 404
    alice.post(f"{address}/delete")
    assert not Webhook.objects.filter(tenant=cast.tenant).exists()


def test_a_webhook_that_makes_no_sense_is_refused_at_its_field(cast: Cast) -> None:
    alice = signed_in(cast.alice)
    for url in ("http://example.org/", "https://user:pass@example.org/", "ftp://example.org", "https://"):
        shown = page(alice.post(settings_of(cast, "/webhooks"), {"name": "Alarms", "url": url}))
        assert 'id="id_url_error"' in shown
    assert not Webhook.objects.filter(tenant=cast.tenant).exists()
    assert not tenant_notices_for(as_member(cast.alice, cast.tenant)).exists()


def test_every_kind_of_person_sees_their_account(cast: Cast) -> None:
    nobody = make_person("nora")
    assert "You belong to none" in page(signed_in(nobody).get("/account/notices"))
    assert "Replicas that were taken out" in page(signed_in(make_operator()).get("/operator/account/notices"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.link], ids=lambda kind: kind.name)
def test_a_notice_leads_to_a_page_that_there_is(kind: NoticeKind) -> None:
    link = kind.link.replace("{invoice}", str(uuid4()))
    assert resolve(re.sub(r"{\w+}", "abc", link)).url_name
