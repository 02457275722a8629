"""Settings, Sign-in: a provider of one's own, from entering it to using it."""

import json
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from urllib3 import HTTPHeaderDict

from identity import email_domains, group_rules, oidc_discovery, providers
from identity.access import caller_for_key
from identity.egress import Answer
from identity.models import Person, ProviderVersion, Role
from identity.oidc_discovery import ProviderWrong
from identity.provider_check import check_connection
from identity.providers import ProviderSettings
from identity.scopes import Scope
from tests.console.sign_in.conftest import Door, goes_to, path_of
from tests.support.console import page, signed_in
from tests.support.ledger import unique
from tests.support.people import TESTS, Cast, as_member, make_key, make_person
from tests.support.rude_provider import CLIENT, SECRET, RudeProvider

ENTERED = {"client_id": CLIENT, "client_secret": SECRET, "groups_claim": "groups"}


@pytest.fixture
def domain(cast: Cast) -> str:
    found = f"{unique('d').replace('_', '-').lower()}.example"
    email_domains.confirm_domain(cast.tenant, found, actor=TESTS)
    Person.objects.filter(pk=cast.alice.pk).update(email=f"alice@{found}")
    cast.alice.refresh_from_db()
    return found


@pytest.fixture
def alice(cast: Cast) -> Client:
    return signed_in(cast.alice)


def here(cast: Cast, rest: str = "") -> str:
    return f"/t/{cast.tenant.slug}/settings/sign-in{rest}"


def prepare(alice: Client, cast: Cast, provider: RudeProvider, **changes: str) -> Any:
    return alice.post(here(cast, "/provider"), ENTERED | {"issuer": provider.issuer} | changes)


def tries(alice: Client, cast: Cast, provider: RudeProvider, **claims: Any) -> str:
    provider.claims = {"sub": "alice-there", "email": cast.alice.email, "email_verified": True} | claims
    back = path_of(provider.authorize(goes_to(alice, here(cast, "/try"))))
    assert alice.get(back)["Location"] == here(cast)
    return page(alice.get(here(cast)))


def version_of(cast: Cast) -> ProviderVersion:
    own = providers.provider_of(cast.tenant)
    assert own
    found = providers.version_in_preparation(own) or providers.active_version(own)
    assert found
    return found


def test_the_page_takes_few_queries_however_much_it_shows(
    cast: Cast, alice: Client, provider: RudeProvider, domain: str
) -> None:
    prepare(alice, cast, provider)
    own = providers.provider_of(cast.tenant)
    assert own
    group_rules.add_rule(
        by=as_member(cast.alice, cast.tenant), provider=own, group="staff", role=Role.DEVELOPER, projects=[cast.project]
    )
    with CaptureQueriesContext(connection) as queries:
        shown = page(alice.get(here(cast)))
    assert "In preparation" in shown
    assert "staff" in shown
    assert domain in shown
    assert len(queries) <= 10, "\n".join(query["sql"].partition(" FROM ")[2][:120] for query in queries)


def test_from_entering_it_to_using_it(cast: Cast, alice: Client, provider: RudeProvider, domain: str) -> None:
    assert "Use your own provider" in page(alice.get(here(cast)))
    assert f"/oidc/tenant-{cast.tenant.slug}/callback" in page(alice.get(here(cast, "/provider")))
    assert prepare(alice, cast, provider)["Location"] == here(cast)
    shown = page(alice.get(here(cast)))
    assert "not tried yet" in shown
    assert "Put to use" not in shown
    assert SECRET not in shown

    alice.post(here(cast, "/activate"))
    assert version_of(cast).state == "draft"
    tested = page(alice.post(here(cast, "/test")))
    assert tested.count("finding-good") == 6
    assert "finding-bad" not in tested

    shown = tries(alice, cast, provider, groups=["devs"], amr=["mfa"])
    assert "You came through" in shown
    assert "<code>devs</code>" in shown
    assert alice.post(here(cast, "/activate"))["Location"] == here(cast)
    assert version_of(cast).state == "active"
    assert "In use" in page(alice.get(here(cast)))


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"email": "somebody@elsewhere.example"}, "has not confirmed the domain"),
        ({"email_verified": False}, "not verified your address"),
        ({"email": None}, "did not tell an e-mail address"),
        ({"nonce": "another"}, "does not hold"),
    ],
    ids=str,
)
def test_a_trial_that_fails_says_why(
    cast: Cast, alice: Client, provider: RudeProvider, domain: str, claims: dict[str, Any], words: str
) -> None:
    prepare(alice, cast, provider)
    assert words in tries(alice, cast, provider, **claims)
    alice.post(here(cast, "/activate"))
    assert version_of(cast).state == "draft"


def test_a_trial_by_somebody_else_leaves_nothing_behind(
    cast: Cast, alice: Client, provider: RudeProvider, domain: str
) -> None:
    prepare(alice, cast, provider)
    people = Person.objects.count()
    assert "somebody else" in tries(alice, cast, provider, email=f"boss@{domain}")
    assert Person.objects.count() == people
    assert version_of(cast).state == "draft"
    assert signed_in(cast.alice).get(here(cast)).status_code == 200  # and alice is still alice


def test_what_a_key_prepared_is_tried_and_put_to_use_by_a_person(
    cast: Cast, alice: Client, provider: RudeProvider, domain: str
) -> None:
    key, _ = make_key(cast.tenant, scopes=[Scope.IDENTITY_MANAGE])
    settings = ProviderSettings(issuer=provider.issuer, client_id=CLIENT, client_secret=SECRET)
    providers.prepare_version(by=caller_for_key(key), settings=settings)
    assert "An API key prepared these" in page(alice.get(here(cast)))
    assert "You came through" in tries(alice, cast, provider)
    assert "An API key prepared these" not in page(alice.get(here(cast)))
    alice.post(here(cast, "/activate"))
    assert (version_of(cast).state, version_of(cast).changed_by) == ("active", cast.alice)


def test_another_site_starts_no_trial(cast: Cast, alice: Client, provider: RudeProvider, domain: str) -> None:
    prepare(alice, cast, provider)
    for site in ("cross-site", "same-site", "none"):
        assert alice.get(here(cast, "/try"), headers={"Sec-Fetch-Site": site})["Location"] == here(cast)
    there = alice.get(here(cast, "/try"), headers={"Sec-Fetch-Site": "same-origin"})["Location"]
    assert there.startswith(provider.issuer)


def test_I6_an_administrator_tries_settings_and_an_owner_puts_them_to_use(
    cast: Cast, provider: RudeProvider, domain: str
) -> None:
    adam = make_person("adam", cast.tenant, Role.ADMINISTRATOR)
    theirs = signed_in(adam)
    prepare(theirs, cast, provider)
    Person.objects.filter(pk=adam.pk).update(email=f"adam@{domain}")
    shown = tries(theirs, cast, provider, email=f"adam@{domain}")
    assert "You came through" in shown
    assert "Put to use" not in shown
    assert "Only an owner" in page(theirs.post(here(cast, "/activate"), follow=True))
    assert version_of(cast).state == "tried"
    owner = signed_in(cast.alice)
    assert "Put to use" in page(owner.get(here(cast)))
    owner.post(here(cast, "/activate"))
    assert version_of(cast).state == "active"


def test_while_a_change_waits_the_old_settings_work(cast: Cast, door: Door) -> None:
    alice = signed_in(cast.alice)
    changed = {**ENTERED, "issuer": door.provider.issuer, "client_id": "changed", "client_secret": ""}
    assert alice.post(here(cast, "/provider"), changed).status_code == 302
    own = providers.provider_of(cast.tenant)
    assert own
    assert providers.active_version(own) == door.version
    alice.post(here(cast, "/withdraw"))
    assert providers.version_in_preparation(own) is None


def test_what_makes_no_sense_is_said_at_its_field(cast: Cast, alice: Client, provider: RudeProvider) -> None:
    for change, words in (
        ({"issuer": "http://192.0.2.1"}, "must be an address"),
        ({"client_secret": ""}, "must be given"),
        ({"groups_claim": "a b"}, "must be the name of a claim"),
    ):
        assert words in page(prepare(alice, cast, provider, **change))
    assert providers.provider_of(cast.tenant) is None


class TestConnection:
    def bad(self, door: Door, settings: ProviderSettings | None = None) -> dict[str, str]:
        version = door.version
        if settings is not None:
            version.issuer, version.client_id = settings.issuer, settings.client_id
        found = check_connection(version, redirect_uri="http://localhost/back")
        return {finding.code: finding.detail for finding in found if finding.outcome == "bad"}

    def test_nothing_is_wrong(self, door: Door) -> None:
        assert self.bad(door) == {}

    @pytest.mark.parametrize(
        ("metadata", "code"),
        [
            ({"issuer": "https://elsewhere.example"}, "issuer_differs"),
            ({"code_challenge_methods_supported": ["plain"]}, "no_pkce"),
            ({"id_token_signing_alg_values_supported": ["HS256", "none"]}, "algorithms"),
            ({"token_endpoint": "http://192.0.2.1/token"}, "endpoint_missing"),
            ({"authorization_endpoint": "javascript:alert(1)"}, "endpoint_missing"),
            ({"jwks_uri": None}, "endpoint_missing"),
        ],
        ids=str,
    )
    def test_metadata_that_we_cannot_use(self, door: Door, metadata: dict[str, Any], code: str) -> None:
        door.provider.metadata = metadata
        assert list(self.bad(door)) == [code]

    @pytest.mark.parametrize("inside", ["http://localhost:6379/x", "https://localhost/x"])
    def test_a_provider_outside_sends_us_to_no_host_of_the_house(
        self, inside: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        issuer = "https://login.outside.example"
        endpoints = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
        for misled in endpoints:
            told = {"issuer": issuer} | {name: f"{issuer}/{name}" for name in endpoints} | {misled: inside}
            answer = Answer(200, HTTPHeaderDict(), json.dumps(told).encode())
            monkeypatch.setattr(oidc_discovery, "ask", lambda *_, answer=answer: answer)
            with pytest.raises(ProviderWrong, match=misled):
                oidc_discovery.discover(issuer, anew=True)

    def test_it_is_not_there(self, door: Door) -> None:
        door.provider.status = 404
        assert list(self.bad(door)) == ["discovery_missing"]
        door.provider.status = 503
        assert list(self.bad(door)) == ["server_error"]
        nowhere = providers.settings_of(door.version)
        assert list(self.bad(door, replace(nowhere, issuer="http://127.0.0.1:1"))) == ["unreachable"]
        assert list(self.bad(door, replace(nowhere, issuer="https://192.168.1.1"))) == ["private_address"]

    def test_the_client_is_refused(self, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
        wrong = replace(providers.settings_of(door.version), client_id="unknown")
        assert list(self.bad(door, wrong)) == ["client_refused"]
        monkeypatch.setattr(door.provider, "keys", {})
        assert "keys_unusable" in self.bad(door)


def test_rules_are_added_and_removed(cast: Cast, door: Door) -> None:
    alice = signed_in(cast.alice)
    rule = {"provider": door.version.provider_id, "group": "devs", "role": "developer"}
    assert alice.post(here(cast, "/groups"), rule).status_code == 302
    assert "already" in page(alice.post(here(cast, "/groups"), rule))
    [made] = group_rules.rules_of(cast.tenant)
    assert (made.group, made.role, made.in_all_projects) == ("devs", Role.DEVELOPER, True)
    assert "<code>devs</code>" in page(alice.get(here(cast)))
    assert signed_in(cast.charlie).post(here(cast, f"/groups/{made.pk}/remove")).status_code == 404
    theirs = f"/t/{cast.strangers.slug}/settings/sign-in/groups/{made.pk}/remove"
    assert signed_in(cast.charlie).post(theirs).status_code == 404
    assert alice.post(here(cast, f"/groups/{made.pk}/remove")).status_code == 302
    assert not group_rules.rules_of(cast.tenant).exists()
    stranger = door.version.provider_id + 10_000
    page(alice.post(here(cast, "/groups"), rule | {"provider": stranger}))
    assert not group_rules.rules_of(cast.tenant).exists()


def test_a_developer_sees_and_changes_nothing_of_it(cast: Cast, door: Door) -> None:
    bob = signed_in(cast.bob)
    assert bob.get(here(cast)).status_code == 403
    for what in ("/test", "/activate", "/withdraw", "/off", "/groups"):
        assert bob.post(here(cast, what)).status_code == 403
    assert version_of(cast) == door.version


def test_switching_it_off_signs_its_people_out(cast: Cast, door: Door) -> None:
    assert signed_in(cast.alice).post(here(cast, "/off")).status_code == 302
    own = providers.provider_of(cast.tenant)
    assert own
    assert providers.active_version(own) is None
