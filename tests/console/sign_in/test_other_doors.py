"""Without a provider: breaking the glass, no membership, and the commands that set all of it up."""

from collections.abc import Iterator
from io import StringIO

import pyotp
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from identity import access_requests, break_glass, email_domains, group_rules, providers
from identity.break_glass import Credentials
from identity.models import BreakGlassTry, IdentityProvider, OperatorRole, SignIn
from tests.console.sign_in.conftest import (
    browser,
    new_member,
    switch_platform_providers_off,
    use_platform_provider,
    who_is_in,
)
from tests.support.console import page, signed_in
from tests.support.ledger import unique
from tests.support.people import TESTS, Cast, as_member, make_person
from tests.support.rude_provider import CLIENT, SECRET, RudeProvider, rude_provider


@pytest.fixture
def made(database: None) -> Iterator[Credentials]:
    yield break_glass.make(actor=TESTS, now=timezone.now())
    BreakGlassTry.objects.all().delete()


def test_password_and_code_break_the_glass(made: Credentials) -> None:
    client = browser()
    page(client.get("/operator/break-glass"))
    wrong = client.post("/operator/break-glass", {"password": made.password, "code": "000000"})
    assert "wrong" in page(wrong, 403)
    assert who_is_in(client) is None
    code = pyotp.TOTP(made.totp_secret).now()
    assert client.post("/operator/break-glass", {"password": made.password, "code": code}).status_code == 302
    person = who_is_in(client)
    assert person
    assert person.is_operator
    assert SignIn.objects.filter(person=person).latest("id").door == SignIn.Door.BREAK_GLASS
    again = browser()
    page(again.post("/operator/break-glass", {"password": made.password, "code": code}), 403)


def test_where_the_operators_provider_is_away_the_way_round_it_is_told(database: None, settings: Settings) -> None:
    settings.PRIVATE_PROVIDER_HOSTS = frozenset({"127.0.0.1"})
    with rude_provider() as provider:
        use_platform_provider(IdentityProvider.Audience.OPERATORS, provider.issuer)
        provider.status = 503
        shown = page(browser().get("/operator/sign-in/with/operators"), 503)
    switch_platform_providers_off()
    assert 'href="/operator/break-glass"' in shown
    assert "breaking the glass" in shown


def test_after_too_many_tries_the_page_waits(made: Credentials) -> None:
    client = browser()
    for _ in range(break_glass.TRIES_OF_AN_ADDRESS_MAX):
        page(client.post("/operator/break-glass", {"password": "x", "code": "1"}), 403)
    code = pyotp.TOTP(made.totp_secret).now()
    assert "15 minutes" in page(client.post("/operator/break-glass", {"password": made.password, "code": code}), 429)


def test_the_command_prints_secrets_that_work(database: None) -> None:
    out = StringIO()
    call_command("break_glass", stdout=out)
    words = out.getvalue().split()
    password, secret = words[words.index("password") + 1], words[words.index("code") + 1]
    assert f"secret={secret}" in words[words.index("uri") + 1]
    code = pyotp.TOTP(secret).now()
    assert break_glass.enter(password=password, code=code, address=None, now=timezone.now())
    BreakGlassTry.objects.all().delete()


def test_who_belongs_nowhere_is_told_whom_to_ask_and_asks(cast: Cast) -> None:
    domain = f"{unique('d').replace('_', '-').lower()}.example"
    email_domains.confirm_domain(cast.tenant, domain, actor=TESTS)
    client = signed_in(new_member(cast, domain))
    assert client.get("/")["Location"] == "/no-access"
    shown = page(client.get("/no-access"))
    assert cast.tenant.name in shown
    assert cast.alice.email in shown
    assert client.post("/no-access", {"message": "The portal"})["Location"] == "/no-access"
    assert "You asked" in page(client.get("/no-access"))
    [asked] = access_requests.open_requests(as_member(cast.alice, cast.tenant))
    assert asked.message == "The portal"


def test_an_organisations_link_tells_a_stranger_nothing_but_its_own_providers_name(cast: Cast) -> None:
    def told(slug: str) -> tuple[int, str, list[str]]:
        answer = browser().get(f"/t/{slug}/sign-in")
        return answer.status_code, answer["Location"].replace(slug, "*"), sorted(answer.cookies)

    assert told(cast.tenant.slug) == told("no-such-organisation")


def test_a_strangers_page_names_no_organisation(cast: Cast) -> None:
    client = signed_in(make_person("dora"))
    shown = page(client.get("/no-access"))
    assert cast.alice.email not in shown
    assert "invite you" in shown
    client.post("/no-access", {"message": "let me in"})
    assert not access_requests.open_requests(as_member(cast.alice, cast.tenant)).exists()


class TestSetUp:
    def set_up(self, provider: RudeProvider, *more: str) -> str:
        out = StringIO()
        arguments = ["operators", f"--issuer={provider.issuer}", f"--client-id={CLIENT}", "--name=Ops", *more]
        call_command("set_up_provider", *arguments, stdout=out)
        return out.getvalue()

    def test_the_operators_provider_is_set_up_once_and_again(
        self, provider: RudeProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BEFFROI_OPERATORS_CLIENT_SECRET", SECRET)
        group = "--operators-group=platform=admins"
        told = self.set_up(provider, group)
        assert "Set up." in told
        assert "/oidc/operators/callback" in told
        assert "nothing changed" in self.set_up(provider, group)
        version = providers.operators_version()
        assert version
        roles = group_rules.operator_roles(version.provider, frozenset({"admins"}))
        assert roles == frozenset({OperatorRole.PLATFORM})
        with pytest.raises(CommandError, match="ROLE=GROUP"):
            self.set_up(provider, "--operators-group=admins")

    def test_it_says_what_is_wrong(self, provider: RudeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BEFFROI_OPERATORS_CLIENT_SECRET", "not this")
        with pytest.raises(CommandError, match="cannot sign in"):
            self.set_up(provider)


def test_a_domain_is_confirmed_at_the_machine(cast: Cast) -> None:
    domain = f"{unique('d').replace('_', '-').lower()}.example"
    call_command("confirm_domain", cast.tenant.slug, domain, stdout=StringIO())
    assert [one.domain for one in email_domains.domains_of(cast.tenant)] == [domain]
    with pytest.raises(CommandError, match="another organisation"):
        call_command("confirm_domain", cast.strangers.slug, domain, stdout=StringIO())
    with pytest.raises(CommandError, match="no such tenant"):
        call_command("confirm_domain", "nowhere", domain, stdout=StringIO())
