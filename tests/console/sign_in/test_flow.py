"""Through a provider and back: what a good sign-in does, and what a bad one cannot."""

import time
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.sessions.models import Session
from django.utils import timezone
from pytest_django import Settings

from identity import group_rules, sign_ins
from identity.invitations import invite
from identity.models import AuditEvent, IdentityProvider, LinkedIdentity, Person, Role, SignIn
from tests.console.sign_in.conftest import (
    Door,
    browser,
    comes_back,
    goes_to,
    new_member,
    path_of,
    use_platform_provider,
    who_is_in,
)
from tests.support.console import page
from tests.support.people import Cast, as_member
from tests.support.rude_provider import RudeProvider, rsa_key


def refused(response: Any, status: int = 400) -> str:
    shown = page(response, status)
    assert "no-store" in response["Cache-Control"]
    return shown


def test_a_newcomer_comes_in_with_the_groups_that_the_provider_tells(cast: Cast, door: Door) -> None:
    alice = as_member(cast.alice, cast.tenant)
    group_rules.add_rule(by=alice, provider=door.version.provider, group="devs", role=Role.DEVELOPER)
    door.says("nadia", groups=["devs"], name="Nadia", sid="s1", amr=["pwd", "otp"])
    client = browser()
    overview = f"/t/{cast.tenant.slug}/"
    assert comes_back(client, door, overview)["Location"] == overview
    person = who_is_in(client)
    assert person
    assert (person.name, person.email) == ("Nadia", f"nadia@{door.domain}")
    page(client.get(overview))
    assert client.get(f"/t/{cast.strangers.slug}/").status_code == 404
    begun = AuditEvent.objects.filter(tenant=cast.tenant, action="sign_in.begun").latest("sequence")
    assert begun.detail["mfa"] is True

    door.provider.claims.pop("groups")
    door.provider.claims["_claim_names"] = {"groups": "src1"}  # in too many to be told: nothing changes
    assert comes_back(client, door).status_code == 302
    assert client.get(overview).status_code == 200
    del door.provider.claims["_claim_names"]

    door.says("nadia", groups=[])
    assert comes_back(client, door).status_code == 302
    assert client.get(overview).status_code == 404


def test_who_was_invited_is_a_member_after_signing_in(cast: Cast, door: Door) -> None:
    overview = f"/t/{cast.tenant.slug}/"
    invite(by=as_member(cast.alice, cast.tenant), email=f"erin@{door.domain}", role=Role.AUDITOR)
    door.says("erin", email_verified=False)
    assert comes_back(browser(), door, overview).status_code != 302
    door.says("erin")
    client = browser()
    assert comes_back(client, door, overview)["Location"] == overview
    page(client.get(overview))


def test_the_request_asks_for_a_code_with_pkce_nonce_and_state(door: Door) -> None:
    there = goes_to(browser(), f"/sign-in/with/{door.handle}")
    assert there.startswith(f"{door.provider.issuer}/authorize?")
    for part in ("response_type=code", "code_challenge_method=S256", "nonce=", "state=", "code_challenge="):
        assert part in there
    client = browser()
    comes_back(client, door)
    assert 43 <= len(door.provider.last_form["code_verifier"]) <= 128


def test_signing_in_takes_a_new_session(door: Door) -> None:
    client = browser()
    there = goes_to(client, f"/sign-in/with/{door.handle}")
    planted = client.cookies["sessionid"].value
    client.get(path_of(door.provider.authorize(there)))
    assert client.cookies["sessionid"].value != planted
    assert not Session.objects.filter(session_key=planted).exists()
    first = client.cookies["sessionid"].value
    comes_back(client, door)
    thief = browser()
    thief.cookies["sessionid"] = first
    assert who_is_in(thief) is None


def test_a_state_works_once_and_only_in_the_browser_that_it_was_made_for(door: Door) -> None:
    client = browser()
    back = path_of(door.provider.authorize(goes_to(client, f"/sign-in/with/{door.handle}")))
    stranger = browser()
    refused(stranger.get(back))
    assert client.get(back).status_code == 302
    door.provider.codes = {"code-0": "whatever"}
    refused(client.get(back))
    refused(client.get(f"/oidc/{door.handle}/callback?code=a&state=b"))
    refused(client.get(f"/oidc/{door.handle}/callback"))


def test_a_state_gets_too_old(door: Door) -> None:
    client = browser()
    back = path_of(door.provider.authorize(goes_to(client, f"/sign-in/with/{door.handle}")))
    session = client.session
    for flow in session["oidc_states"].values():
        flow["added_on"] -= 601
    session.save()
    refused(client.get(back))


def test_an_answer_to_another_providers_address_is_not_taken(cast: Cast, door: Door) -> None:
    client = browser()
    back = path_of(door.provider.authorize(goes_to(client, f"/sign-in/with/{door.handle}")))
    refused(client.get(back.replace(f"/oidc/{door.handle}/", "/oidc/shared/")))
    back = path_of(door.provider.authorize(goes_to(client, f"/sign-in/with/{door.handle}")))
    refused(client.get(back.partition("&iss=")[0] + "&iss=https%3A%2F%2Felsewhere.example"))
    assert who_is_in(client) is None


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "another-client"},
        {"aud": ["beffroi", "another-client"]},
        {"azp": "another-client"},
        {"aud": ["beffroi", "another-client"], "azp": "another-client"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": int(time.time()) - 120},
        {"exp": None},
        {"iat": int(time.time()) - 3600},
        {"iat": int(time.time()) + 3600},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
    ],
    ids=" and ".join,  # their names: the times in them differ from process to process
)
def test_an_id_token_that_does_not_hold_signs_nobody_in(door: Door, claims: dict[str, Any]) -> None:
    door.says()
    door.provider.claims |= claims
    client = browser()
    assert "issuer" not in refused(comes_back(client, door))
    assert who_is_in(client) is None


class TestSignatures:
    def refused(self, door: Door, status: int = 400) -> None:
        client = browser()
        refused(comes_back(client, door), status)
        assert who_is_in(client) is None

    def test_none_is_no_algorithm(self, door: Door) -> None:
        door.provider.algorithm, door.provider.signing_key = "none", ""
        self.refused(door)

    def test_the_public_key_is_no_shared_secret(self, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
        import hmac
        import json
        from base64 import urlsafe_b64encode

        def sign(payload: dict[str, Any]) -> str:
            parts = [{"alg": "HS256", "typ": "JWT", "kid": door.provider.key_id}, payload]
            text = b".".join(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
            mac = hmac.digest(door.provider.public_pem(), text, "sha256")
            return (text + b"." + urlsafe_b64encode(mac).rstrip(b"=")).decode()

        monkeypatch.setattr(door.provider, "sign", sign)
        self.refused(door)

    def test_the_client_secret_signs_nothing(self, door: Door) -> None:
        door.provider.algorithm, door.provider.signing_key = "HS256", "x" * 64
        self.refused(door)

    def test_another_key_of_the_same_name_does_not_fit(self, door: Door) -> None:
        door.provider.signing_key = rsa_key("another")
        self.refused(door)

    def test_a_key_that_is_not_published_does_not_fit(self, door: Door) -> None:
        door.provider.signing_key = rsa_key("another")
        door.provider.header = {"kid": "unheard-of"}
        self.refused(door, 502)

    def test_es256_is_as_good(self, door: Door) -> None:
        door.provider.keys["second"] = ec.generate_private_key(ec.SECP256R1())
        door.provider.key_id, door.provider.algorithm = "second", "ES256"
        assert comes_back(browser(), door).status_code == 302

    def test_a_rotated_key_is_found_without_waiting(self, door: Door) -> None:
        assert comes_back(browser(), door).status_code == 302
        fetched = door.provider.asked.count("/jwks")
        assert comes_back(browser(), door).status_code == 302
        assert door.provider.asked.count("/jwks") == fetched  # kept
        door.provider.rotate("next")
        assert comes_back(browser(), door).status_code == 302
        assert door.provider.asked.count("/jwks") == fetched + 1

    def test_made_up_keys_do_not_make_us_ask_again_and_again(self, door: Door) -> None:
        comes_back(browser(), door)
        fetched = door.provider.asked.count("/jwks")
        door.provider.header = {"kid": "unheard-of"}
        for _ in range(6):
            comes_back(browser(), door)
        assert door.provider.asked.count("/jwks") <= fetched + 3


class TestWho:
    def test_an_unverified_address_comes_to_nothing(self, door: Door, cast: Cast) -> None:
        dora = new_member(cast, door.domain)
        for claim in (False, None, "true", 1):
            door.says(email=dora.email, email_verified=claim)
            assert "not verified" in refused(comes_back(browser(), door), 403)
        assert not LinkedIdentity.objects.filter(person=dora).exists()

    def test_a_tenants_provider_cannot_claim_others(self, door: Door, cast: Cast) -> None:
        for email in (cast.charlie.email, cast.alice.email):  # an address of no confirmed domain
            door.says(email=email)
            client = browser()
            assert "vouches only for addresses" in refused(comes_back(client, door), 403)
            assert who_is_in(client) is None
        operator = new_member(cast, door.domain, "olga")
        Person.objects.filter(pk=operator.pk).update(is_operator=True)
        door.says(email=operator.email)
        assert "operators" in refused(comes_back(browser(), door), 403)

    def test_what_the_id_token_leaves_out_is_asked_for(self, door: Door) -> None:
        door.says("nadia")
        moved = {name: door.provider.claims.pop(name) for name in ("email", "email_verified", "groups")}
        door.provider.user_info = moved | {"sub": "somebody-else"}
        assert "e-mail address" in refused(comes_back(browser(), door), 403)
        door.provider.user_info = moved | {"sub": "nadia"}
        client = browser()
        assert comes_back(client, door).status_code == 302
        person = who_is_in(client)
        assert person
        assert person.email == moved["email"]

    def test_a_required_second_factor_is_required(self, door: Door) -> None:
        version = door.version
        type(version).objects.filter(pk=version.pk).update(required_amr=["mfa"], required_acr=["gold", "silver"])
        for claims in ({}, {"amr": ["mfa"]}, {"amr": ["pwd"], "acr": "gold"}, {"amr": ["mfa"], "acr": "bronze"}):
            door.says(**claims)
            assert "stronger sign-in" in refused(comes_back(browser(), door), 403)
        door.says(amr=["pwd", "mfa"], acr="silver")
        assert comes_back(browser(), door).status_code == 302
        assert "acr_values=gold+silver" in goes_to(browser(), f"/sign-in/with/{door.handle}")


class TestAway:
    def test_before_the_way_there(self, door: Door) -> None:
        door.provider.status = 503
        response = browser().get(f"/sign-in/with/{door.handle}")
        refused(response, 503)
        assert response["Retry-After"]

    def test_on_the_way_back(self, door: Door) -> None:
        client = browser()
        back = path_of(door.provider.authorize(goes_to(client, f"/sign-in/with/{door.handle}")))
        door.provider.status = 500
        assert "does not answer" in refused(client.get(back), 503)
        door.provider.status = 200
        refused(client.get(back))  # a state that came to nothing is used up as well

    def test_it_says_no_or_later(self, door: Door) -> None:
        for error, status in (("access_denied", 403), ("temporarily_unavailable", 503)):
            client = browser()
            back = path_of(door.provider.authorize(goes_to(client, f"/sign-in/with/{door.handle}")))
            state = back.partition("state=")[2].partition("&")[0]
            refused(client.get(f"/oidc/{door.handle}/callback?error={error}&state={state}"), status)


@pytest.mark.parametrize(
    "after",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "///evil.example",
        "a\nb",
        "",
    ],
)
def test_nobody_is_led_to_another_site(door: Door, after: str) -> None:
    client = browser()
    there = client.get("/sign-in/with/" + door.handle, {"next": after})["Location"]
    assert client.get(path_of(door.provider.authorize(there)))["Location"] == "/"


class TestSilentCheck:
    def old(self, client: Any) -> SignIn:
        sign_in = sign_ins.open_sign_in(client.session.session_key)
        assert sign_in
        SignIn.objects.filter(pk=sign_in.pk).update(checked_at=timezone.now() - timedelta(hours=2))
        return sign_in

    def test_an_old_session_is_checked_without_a_word(self, door: Door) -> None:
        door.says("nadia")
        client = browser()
        comes_back(client, door)
        assert client.get("/no-access").status_code == 200
        sign_in = self.old(client)
        there = goes_to(client, "/no-access?a=b")
        assert "prompt=none" in there
        assert client.get("/no-access", headers={"HX-Request": "true"}).status_code == 200
        assert client.get("/no-access", headers={"Sec-Fetch-Mode": "cors"}).status_code == 200
        key = client.session.session_key
        assert client.get(path_of(door.provider.authorize(there)))["Location"] == "/no-access?a=b"
        assert client.session.session_key == key
        assert client.get("/no-access").status_code == 200
        sign_in.refresh_from_db()
        assert timezone.now() - sign_in.checked_at < timedelta(minutes=1)

    def test_whom_the_provider_does_not_know_any_more_signs_in_again(self, door: Door) -> None:
        client = browser()
        comes_back(client, door)
        self.old(client)
        back = path_of(door.provider.authorize(goes_to(client, "/no-access")))
        state = back.partition("state=")[2].partition("&")[0]
        response = client.get(f"/oidc/{door.handle}/callback?error=login_required&state={state}")
        assert response["Location"] == "/sign-in?next=%2Fno-access"
        assert who_is_in(client) is None

    def test_somebody_else_at_the_provider_is_somebody_else_here(self, door: Door) -> None:
        door.says("nadia")
        client = browser()
        comes_back(client, door)
        before = self.old(client)
        door.says("oscar")
        client.get(path_of(door.provider.authorize(goes_to(client, "/no-access"))))
        person = who_is_in(client)
        assert person
        assert person.email.startswith("oscar@")
        before.refresh_from_db()
        assert before.ended_at

    def test_an_outage_of_the_provider_stops_nobody_at_work(self, door: Door) -> None:
        from identity import oidc_discovery

        client = browser()
        comes_back(client, door)
        self.old(client)
        oidc_discovery.forget()
        door.provider.status = 503
        assert client.get("/no-access").status_code == 200
        asked = len(door.provider.asked)
        assert client.get("/no-access").status_code == 200
        assert len(door.provider.asked) == asked  # and it is not asked at every page

    def test_it_can_be_switched_off(self, door: Door, settings: Settings) -> None:
        settings.SESSION_CHECK = timedelta(0)
        client = browser()
        comes_back(client, door)
        self.old(client)
        assert client.get("/no-access").status_code == 200


class TestPage:
    def test_the_address_leads_to_the_provider_of_its_domain(self, door: Door) -> None:
        response = browser().post("/sign-in", {"email": f"anybody@{door.domain}", "next": "/no-access"})
        shown = page(response)
        assert f"url={door.provider.issuer}/authorize?" in shown
        assert "login_hint=anybody%40" in shown

    def test_a_tenants_link_leads_to_its_provider(self, cast: Cast, door: Door) -> None:
        there = goes_to(browser(), f"/t/{cast.tenant.slug}/sign-in")
        assert there == f"/sign-in/with/{door.handle}?next=%2Ft%2F{cast.tenant.slug}%2F"

    def test_a_tenant_without_provider_looks_like_one_that_is_not_there(
        self, cast: Cast, provider: RudeProvider
    ) -> None:
        use_platform_provider(IdentityProvider.Audience.SHARED, provider.issuer)
        there = goes_to(browser(), f"/t/{cast.strangers.slug}/sign-in")
        nowhere = goes_to(browser(), "/t/nowhere/sign-in")
        assert there.replace(cast.strangers.slug, "nowhere") == nowhere
        assert there.startswith("/sign-in/with/shared")

    def test_a_session_without_an_open_sign_in_opens_nothing(self, cast: Cast, door: Door) -> None:
        client = browser()
        comes_back(client, door)
        person = who_is_in(client)
        assert person
        sign_ins.end_all(person, reason="tests", now=timezone.now())
        assert client.get("/no-access")["Location"].startswith("/sign-in")
