"""Signing out, here and at the provider; and the provider that says it."""

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.console.sign_in.conftest import Door, browser, comes_back, who_is_in
from tests.support.console import page
from tests.support.rude_provider import LOGOUT_EVENT


def tells(door: Door, token: str, handle: str = "") -> Any:
    response = browser().post(f"/oidc/{handle or door.handle}/logout", {"logout_token": token})
    assert response["Cache-Control"] == "no-store"
    return response.status_code


def signed_in_through(door: Door, subject: str, sid: str) -> Any:
    door.says(subject, sid=sid)
    client = browser()
    comes_back(client, door)
    assert who_is_in(client)
    return client


def test_signing_out_ends_the_session_here_and_leads_to_the_providers_sign_out(door: Door) -> None:
    client = signed_in_through(door, "nadia", "s1")
    cookie = client.cookies["sessionid"].value
    shown = page(client.post("/sign-out"))
    address = shown.partition("url=")[2].partition('"')[0].replace("&amp;", "&")
    assert address.startswith(f"{door.provider.issuer}/logout?")
    asked = parse_qs(urlsplit(address).query)
    assert asked["id_token_hint"]
    assert asked["client_id"] == ["beffroi"]
    assert asked["post_logout_redirect_uri"] == ["http://127.0.0.1:8000/signed-out"]
    thief = browser()
    thief.cookies["sessionid"] = cookie
    assert who_is_in(thief) is None
    page(browser().get("/signed-out"))


def test_a_provider_that_is_away_keeps_nobody_signed_in(door: Door) -> None:
    from identity import oidc_discovery

    client = signed_in_through(door, "nadia", "s1")
    oidc_discovery.forget()
    door.provider.status = 503
    assert client.post("/sign-out")["Location"] == "/signed-out"
    assert who_is_in(client) is None


def test_the_provider_ends_one_session_or_all_of_a_person(door: Door) -> None:
    first, second = signed_in_through(door, "nadia", "s1"), signed_in_through(door, "nadia", "s2")
    other = signed_in_through(door, "oscar", "s3")
    assert tells(door, door.provider.logout_token(sid="s1", sub="nadia")) == 200
    assert [who_is_in(client) is not None for client in (first, second, other)] == [False, True, True]
    assert tells(door, door.provider.logout_token(sub="nadia")) == 200
    assert [who_is_in(client) is not None for client in (first, second, other)] == [False, False, True]
    assert tells(door, door.provider.logout_token(sub="nadia")) == 200  # it is over, which is what it asks for


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "another-client"},
        {"events": None},
        {"events": {"http://schemas.openid.net/event/other": {}}},
        {"events": {LOGOUT_EVENT: "yes"}},
        {"nonce": "one"},
        {"sid": None, "sub": None},
        {"sid": 7},
        {"jti": None},
        {"iat": None},
        {"iat": int(time.time()) - 3600},
        {"exp": None},
        {"exp": int(time.time()) - 120},
    ],
    ids=" and ".join,  # their names: the times in them differ from process to process
)
def test_a_logout_token_that_does_not_hold_ends_nothing(door: Door, changes: dict[str, Any]) -> None:
    client = signed_in_through(door, "nadia", "s1")
    assert tells(door, door.provider.logout_token(**{"sid": "s1", "sub": "nadia"} | changes)) == 400
    assert who_is_in(client)


def test_neither_an_unsigned_token_nor_an_id_token_nor_another_providers_ends_anything(door: Door) -> None:
    client = signed_in_through(door, "nadia", "s1")
    good = door.provider.logout_token(sid="s1")
    assert tells(door, good, "shared") == 400
    assert tells(door, "") == 400
    assert tells(door, client.session["oidc_id_token"]) == 400
    door.provider.algorithm, door.provider.signing_key = "none", ""
    assert tells(door, door.provider.logout_token(sid="s1")) == 400
    assert who_is_in(client)
    assert browser().get(f"/oidc/{door.handle}/logout").status_code == 405
