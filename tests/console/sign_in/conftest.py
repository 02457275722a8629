"""A tenant with a provider of its own, and browsers that go there and back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from console.operator_site import COOKIE
from console.sign_in.sessions import person_of
from identity import email_domains, oidc_discovery, providers
from identity.models import IdentityProvider, Person, ProviderVersion
from identity.people import create_person
from identity.providers import ProviderSettings
from tests.support.console import signed_in
from tests.support.ledger import unique
from tests.support.people import TESTS, Cast, as_member, make_cast
from tests.support.rude_provider import CLIENT, SECRET, RudeProvider, rude_provider


@pytest.fixture
def cast(database: None) -> Cast:
    return make_cast()


@pytest.fixture(autouse=True)
def _providers_in_the_house(settings: Settings, database: None) -> Iterator[None]:
    settings.PRIVATE_PROVIDER_HOSTS = frozenset({"127.0.0.1", "localhost"})
    oidc_discovery.forget()
    yield
    oidc_discovery.forget()
    switch_platform_providers_off()


@pytest.fixture
def provider(database: None) -> Iterator[RudeProvider]:
    with rude_provider() as running:
        yield running


@dataclass
class Door:
    """A tenant's own provider, in use, with a confirmed domain."""

    provider: RudeProvider
    version: ProviderVersion
    domain: str

    @property
    def handle(self) -> str:
        return self.version.provider.handle

    def says(self, subject: str = "", **claims: Any) -> None:
        """Who signs in there next."""
        name = subject or unique("sub")
        self.provider.claims = {
            "sub": name,
            "email": f"{name.lower()}@{self.domain}",
            "email_verified": True,
            "groups": [],
        } | claims


def use_own_provider(cast: Cast, settings: ProviderSettings) -> ProviderVersion:
    """Alice sets the tenant's own provider up, as after a trial."""
    alice = as_member(cast.alice, cast.tenant)
    version = providers.prepare_version(by=alice, settings=settings)
    providers.mark_tried(version, person=cast.alice, now=timezone.now())
    providers.activate(version, by=alice, now=timezone.now())
    return version


@pytest.fixture
def door(cast: Cast, provider: RudeProvider) -> Door:
    domain = f"{unique('d').replace('_', '-').lower()}.example"
    email_domains.confirm_domain(cast.tenant, domain, actor=TESTS)
    settings = ProviderSettings(issuer=provider.issuer, client_id=CLIENT, client_secret=SECRET)
    found = Door(provider, use_own_provider(cast, settings), domain)
    found.says()
    return found


def use_platform_provider(audience: IdentityProvider.Audience, issuer: str) -> ProviderVersion:
    """The shared or the operators' provider, in use."""
    settings = ProviderSettings(issuer=issuer, client_id=CLIENT, client_secret=SECRET)
    providers.set_provider(
        audience=audience, name=f"The {audience}", settings=settings, actor=TESTS, now=timezone.now()
    )
    version = providers.version_by_handle(audience.value)
    assert version
    return version


def switch_platform_providers_off() -> None:
    """They are everybody's: other tests must not find them."""
    ProviderVersion.objects.filter(provider__tenant=None).update(state=ProviderVersion.State.OFF)


def browser() -> Client:
    """Nobody signed in, behind the gateway."""
    return signed_in(None)


def path_of(address: str) -> str:
    """What a browser asks our server for."""
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def goes_to(client: Client, address: str) -> str:
    """Where a page of ours sends the browser."""
    response = client.get(address)
    assert response.status_code == 302, response.content.decode()
    return str(response["Location"])


def comes_back(client: Client, door: Door, after: str = "/") -> Any:
    """All of a sign-in through the provider, up to our answer to the way back."""
    there = goes_to(client, f"/sign-in/with/{door.handle}?next={after}")
    return client.get(path_of(door.provider.authorize(there)))


def who_is_in(client: Client) -> Person | None:
    """The person of the browser's session."""
    theirs = client.cookies.get(COOKIE)
    return person_of(SessionStore(theirs.value) if theirs else client.session)


def new_member(cast: Cast, domain: str, name: str = "dora") -> Person:
    """A person with an address of the domain."""
    return create_person(email=f"{name}-{unique('x').lower()}@{domain}", actor=TESTS)
