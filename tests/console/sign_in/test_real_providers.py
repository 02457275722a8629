"""Whole sign-ins through two identity providers that others wrote."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from identity import email_domains, group_rules
from identity.models import LinkedIdentity, Role, SignIn
from identity.provider_check import check_connection
from identity.providers import ProviderSettings
from tests.console.sign_in.conftest import browser, goes_to, new_member, path_of, use_own_provider, who_is_in
from tests.support.console import page
from tests.support.ledger import unique
from tests.support.people import TESTS, Cast, as_member
from tests.support.real_providers import RealProvider, back_channel, canaille, oidc_provider
from tests.support.web_reader import WebReader

SECRET = secrets.token_urlsafe(32)


def registered(cast: Cast, **more: str) -> dict[str, str]:
    """What the provider has to know of us."""
    ours = django_settings.PUBLIC_URL
    return {
        "CLIENT_ID": "beffroi",
        "CLIENT_SECRET": SECRET,
        "REDIRECT_URI": f"{ours}/oidc/tenant-{cast.tenant.slug}/callback",
        "AFTER_URI": f"{ours}/signed-out",
        **more,
    }


def use(cast: Cast, provider: RealProvider) -> str:
    """The tenant's own provider, with a domain and a rule. Returns the domain."""
    domain = f"{unique('d').replace('_', '-').lower()}.example"
    email_domains.confirm_domain(cast.tenant, domain, actor=TESTS)
    version = use_own_provider(cast, ProviderSettings(provider.issuer, "beffroi", SECRET))
    alice = as_member(cast.alice, cast.tenant)
    group_rules.add_rule(by=alice, provider=version.provider, group="devs", role=Role.DEVELOPER)
    assert [one.detail for one in check_connection(version, redirect_uri="http://x/y") if one.outcome == "bad"] == []
    return domain


class TestOidcProvider:
    @pytest.fixture
    def ear(self) -> Iterator[Any]:
        with back_channel() as ear:
            yield ear

    @pytest.fixture
    def provider(self, cast: Cast, ear: Any) -> Iterator[RealProvider]:
        with oidc_provider(registered(cast, LOGOUT_URI=ear[0])) as running:
            yield running

    def signs_in(self, cast: Cast, reader: WebReader, client: Client, after: str = "/") -> Any:
        there = goes_to(client, f"/sign-in/with/tenant-{cast.tenant.slug}?next={after}")
        back = reader.open(there)
        assert back.location, back.text[:2000]
        return client.get(path_of(back.location))

    def account(self, reader: WebReader, provider: RealProvider, domain: str, **more: Any) -> None:
        account = {"sub": "nadia", "email": f"nadia@{domain}", "email_verified": True, "groups": ["devs"]}
        reader.post_json(f"{provider.issuer}/test/account", account | more)

    def test_in_and_out_both_ways(self, cast: Cast, provider: RealProvider, ear: Any) -> None:
        domain, reader, client = use(cast, provider), WebReader(), browser()
        self.account(reader, provider, domain, login={"acr": "gold", "amr": ["pwd", "otp"]})
        overview = f"/t/{cast.tenant.slug}/"
        assert self.signs_in(cast, reader, client, overview)["Location"] == overview
        page(client.get(overview))
        person = who_is_in(client)
        assert person
        sign_in = SignIn.objects.get(person=person, ended_at=None)
        assert (sign_in.acr, sign_in.mfa_seen, bool(sign_in.sid)) == ("gold", True, True)

        elsewhere = browser()  # the same session at the provider
        self.signs_in(cast, reader, elsewhere)
        assert who_is_in(elsewhere)
        onwards = page(client.post("/sign-out"))
        address = onwards.partition("url=")[2].partition('"')[0].replace("&amp;", "&")
        asked = reader.open(address)
        action, values = asked.form()
        done = reader.open(action, values | {"logout": "yes"})
        assert done.location.startswith(f"{django_settings.PUBLIC_URL}/signed-out")
        assert who_is_in(client) is None
        token = ear[1].get(timeout=20)
        answer = browser().post(f"/oidc/tenant-{cast.tenant.slug}/logout", {"logout_token": token})
        assert answer.status_code == 200
        assert who_is_in(elsewhere) is None

    def test_an_unverified_address_stays_out(self, cast: Cast, provider: RealProvider) -> None:
        domain, reader, client = use(cast, provider), WebReader(), browser()
        self.account(reader, provider, domain, email_verified=False)
        assert "not verified" in page(self.signs_in(cast, reader, client), 403)

    def test_with_new_keys_after_a_restart_and_while_it_is_down(self, cast: Cast, provider: RealProvider) -> None:
        domain, reader, client = use(cast, provider), WebReader(), browser()
        self.account(reader, provider, domain)
        assert self.signs_in(cast, reader, client).status_code == 302
        provider.process.kill()
        provider.process.wait()
        assert client.get("/no-access").status_code in (200, 302)  # who is in stays in
        from identity import oidc_discovery

        waiting = goes_to(browser(), f"/sign-in/with/tenant-{cast.tenant.slug}")  # from what is kept
        assert waiting.startswith(provider.issuer)
        oidc_discovery._metadata.clear()
        shown = page(browser().get(f"/sign-in/with/tenant-{cast.tenant.slug}"), 503)
        assert "breaking the glass" not in shown  # the operators' way in is told in their console only
        with oidc_provider(provider.settings):
            self.account(reader, provider, domain)
            assert self.signs_in(cast, WebReader(), browser()).status_code == 302

    def test_a_silent_check_finds_the_session_or_not(self, cast: Cast, provider: RealProvider) -> None:
        from datetime import timedelta

        from django.utils import timezone

        domain, reader, client = use(cast, provider), WebReader(), browser()
        self.account(reader, provider, domain)
        self.signs_in(cast, reader, client)
        old = timezone.now() - timedelta(hours=2)
        here = f"/t/{cast.tenant.slug}/quick-start"
        SignIn.objects.filter(person=who_is_in(client)).update(checked_at=old)
        back = reader.open(goes_to(client, here))
        assert client.get(path_of(back.location))["Location"] == here
        assert client.get(here).status_code == 200
        SignIn.objects.filter(person=who_is_in(client)).update(checked_at=old)
        stranger = WebReader().open(goes_to(client, here))  # the provider does not know this browser
        assert "error=login_required" in stranger.location
        assert client.get(path_of(stranger.location))["Location"].startswith("/sign-in?")
        assert who_is_in(client) is None


def test_canaille_which_verifies_no_addresses_lets_in_whom_it_was_linked_to(cast: Cast) -> None:
    password = secrets.token_urlsafe(16)
    domain = f"{unique('d').replace('_', '-').lower()}.example"
    email_domains.confirm_domain(cast.tenant, domain, actor=TESTS)
    nadia = new_member(cast, domain, "nadia")
    person = {"EMAIL": nadia.email, "PASSWORD": password, "GROUP": "devs"}
    with canaille(registered(cast, **person)) as provider:
        use(cast, provider)
        reader, client = WebReader(), browser()
        overview = f"/t/{cast.tenant.slug}/"
        back = through_canaille(cast, reader, client, overview, password)
        assert "not verified" in page(client.get(back), 403)
        LinkedIdentity.objects.create(person=nadia, issuer=provider.issuer, subject="nadia")
        back = through_canaille(cast, reader, client, overview, password)
        assert client.get(back)["Location"] == overview
        page(client.get(overview))  # by its group
        assert who_is_in(client) == nadia


def through_canaille(cast: Cast, reader: WebReader, client: Client, after: str, password: str) -> str:
    """Its pages, each with a form, up to where it sends us back."""
    shown = reader.open(goes_to(client, f"/sign-in/with/tenant-{cast.tenant.slug}?next={after}"))
    for answer in ({"login": "nadia"}, {"password": password}, {"answer": "accept"}):
        if shown.location:
            break
        action, values = shown.form()
        fitting = {name: value for name, value in answer.items() if name in values or name == "answer"}
        shown = reader.open(action, values | fitting)
    assert shown.location, shown.text[:3000]
    return path_of(shown.location)
