"""Whole sign-ins through the provider that all tenants share, whose groups make organisations."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.utils import timezone

from identity import providers
from identity.models import IdentityProvider, LinkedIdentity, Membership, Person, Role, Tenant
from identity.providers import ProviderSettings
from tests.console.sign_in.conftest import (
    browser,
    goes_to,
    new_member,
    path_of,
    use_platform_provider,
    who_is_in,
)
from tests.support.console import page
from tests.support.group_rules import Directory, directory, fed, role_in
from tests.support.ledger import unique
from tests.support.people import TESTS, Cast, make_operator
from tests.support.real_providers import canaille, oidc_provider
from tests.support.rude_provider import RudeProvider
from tests.support.web_reader import WebReader

SHARED = IdentityProvider.Audience.SHARED
SECRET = secrets.token_urlsafe(32)


@pytest.fixture
def house(database: None) -> Iterator[Directory]:
    with directory() as house:
        yield house


@pytest.fixture
def word() -> str:
    return unique("w").lower().replace("_", "-")


def arrives(provider: RudeProvider, subject: str, *groups: object, **claims: Any) -> tuple[Client, Any]:
    """A browser that comes back from the provider, which says so."""
    address = f"{subject}@{subject}.example"
    provider.claims = {"sub": subject, "email": address, "email_verified": True, "groups": list(groups)} | claims
    client = browser()
    return client, client.get(path_of(provider.authorize(goes_to(client, "/sign-in/with/shared"))))


def test_the_first_of_a_department_works_in_it_at_once(provider: RudeProvider, house: Directory, word: str) -> None:
    use_platform_provider(SHARED, provider.issuer)
    house.rule("*")
    house.rule("*-owners", Role.OWNER, makes=False)
    client, _answer = arrives(provider, f"sub-{word}", house.group(word), "elsewhere")
    assert f"/t/{word}/" in client.get("/", follow=True).redirect_chain[-1][0]
    person = who_is_in(client)
    assert person is not None
    assert role_in(person, fed(word)) == "developer"
    client, _answer = arrives(provider, f"sub-{word}", house.group(f"{word}-owners"))
    assert role_in(person, fed(word)) == "owner"
    shown = page(client.get(f"/t/{word}/settings/sign-in"))
    assert f"<code>{house.group(word)}</code>: developer" in shown


def test_out_of_the_group_the_next_sign_in_shows_nothing(provider: RudeProvider, house: Directory, word: str) -> None:
    use_platform_provider(SHARED, provider.issuer)
    house.rule("*")
    arrives(provider, f"sub-{word}", house.group(word))
    client, _answer = arrives(provider, f"sub-{word}")
    assert client.get(f"/t/{word}/").status_code == 404


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False},
        {"aud": "somebody-else"},
        {"iss": "https://elsewhere.example"},
        {"nonce": "another"},
    ],
)
def test_I6_a_token_that_does_not_hold_makes_nothing(
    provider: RudeProvider, house: Directory, word: str, claims: dict[str, Any]
) -> None:
    use_platform_provider(SHARED, provider.issuer)
    house.rule("*")
    client, _answer = arrives(provider, f"sub-{word}", house.group(word), **claims)
    assert who_is_in(client) is None
    assert not Tenant.objects.filter(external_id=word).exists()


def test_I6_groups_of_a_wrong_shape_or_number_are_no_groups(
    provider: RudeProvider, house: Directory, word: str
) -> None:
    use_platform_provider(SHARED, provider.issuer)
    rule = house.rule("*")
    odd = [7, None, {"name": house.group(word)}, [house.group(word)], house.group("x" * 300), f" {house.group(word)}"]
    client, _answer = arrives(provider, f"sub-{word}", *odd)
    person = who_is_in(client)
    assert person is not None
    assert not Membership.objects.filter(person=person).exists()
    assert rule.feeds.count() == 0


def test_I6_who_runs_the_platform_comes_in_nowhere_by_a_group(
    provider: RudeProvider, house: Directory, word: str
) -> None:
    use_platform_provider(SHARED, provider.issuer)
    house.rule("*", Role.OWNER)
    olga = make_operator()
    client, _answer = arrives(provider, f"sub-{word}", house.group(word), email=olga.email)
    assert who_is_in(client) is None
    assert not Tenant.objects.filter(external_id=word).exists()


class TestRealProviders:
    def registered(self, **more: str) -> dict[str, str]:
        """What the provider has to know of us."""
        ours = django_settings.PUBLIC_URL
        known = {"CLIENT_ID": "beffroi", "CLIENT_SECRET": SECRET, "REDIRECT_URI": f"{ours}/oidc/shared/callback"}
        return known | {"AFTER_URI": f"{ours}/signed-out", "LOGOUT_URI": f"{ours}/nowhere"} | more

    def use(self, issuer: str) -> None:
        settings = ProviderSettings(issuer, "beffroi", SECRET)
        providers.set_provider(audience=SHARED, name="All", settings=settings, actor=TESTS, now=timezone.now())

    def test_oidc_provider(self, cast: Cast, house: Directory, word: str) -> None:
        house.rule("*")
        with oidc_provider(self.registered()) as running:
            self.use(running.issuer)
            reader, client = WebReader(), browser()
            account = {"sub": word, "email": f"{word}@a.example", "email_verified": True, "groups": [house.group(word)]}
            reader.post_json(f"{running.issuer}/test/account", account)
            back = reader.open(goes_to(client, "/sign-in/with/shared"))
            assert client.get(path_of(back.location)).status_code == 302
            page(client.get(f"/t/{word}/"))

    def test_canaille(self, cast: Cast, house: Directory, word: str) -> None:
        house.rule("*", Role.AUDITOR)
        password = secrets.token_urlsafe(16)
        nadia = new_member(cast, f"{word}.example", "nadia")
        person = {"EMAIL": nadia.email, "PASSWORD": password, "GROUP": house.group(word)}
        with canaille(self.registered(**person)) as running:
            self.use(running.issuer)
            # It verifies no addresses: whom it vouches for is known by its subject.
            LinkedIdentity.objects.create(person=nadia, issuer=running.issuer, subject="nadia")
            reader, client = WebReader(), browser()
            shown = reader.open(goes_to(client, "/sign-in/with/shared"))
            for answer in ({"login": "nadia"}, {"password": password}, {"answer": "accept"}):
                if not shown.location:
                    action, asked = shown.form()
                    fitting = {name: text for name, text in answer.items() if name in asked or name == "answer"}
                    shown = reader.open(action, asked | fitting)
            client.get(path_of(shown.location))
            assert who_is_in(client) == Person.objects.get(pk=nadia.pk)
            assert role_in(nadia, fed(word)) == "auditor"
            page(client.get(f"/t/{word}/"))
