"""Our side of the authorization code flow with a provider: the code for tokens, and what else it knows of a person."""

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus, urlencode

from identity.models import ProviderVersion
from identity.oidc_discovery import Discovered, ProviderAway, ProviderWrong, ask
from identity.providers import client_secret

_FORM = "application/x-www-form-urlencoded"


class CodeRefused(Exception):
    """The provider takes neither code nor client; `code` is its word for it (RFC 6749, 5.2)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def redeem_code(
    version: ProviderVersion, provider: Discovered, *, code: str, code_verifier: str, redirect_uri: str
) -> dict[str, Any]:
    """The provider's answer with the tokens. Raises `CodeRefused`, `ProviderTrouble`."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": code_verifier,
    }
    answer = ask("POST", provider.token_endpoint, **_authenticated(version, provider, form))
    if answer.status >= 500:
        raise ProviderAway("server_error", f"it answers {answer.status}")
    try:
        tokens = json.loads(answer.body)
    except (ValueError, RecursionError):
        tokens = None
    if not isinstance(tokens, dict):
        raise ProviderWrong("token_unreadable", "its token endpoint answers no JSON object")
    if answer.status != 200:
        error = tokens.get("error")
        raise CodeRefused(error if isinstance(error, str) and _is_a_word(error) else f"status {answer.status}")
    if not isinstance(tokens.get("id_token"), str):
        raise ProviderWrong("token_missing", "its token endpoint gives no ID token")
    return tokens


def user_info(provider: Discovered, access_token: str, subject: str) -> dict[str, Any]:
    """What the provider tells of the subject beside the ID token; nothing of anybody else. Raises `ProviderTrouble`.

    Core 5.3.2: an answer whose `sub` differs must not be used.
    """
    answer = ask("GET", provider.userinfo_endpoint, headers={"Authorization": f"Bearer {access_token}"})
    try:
        told = json.loads(answer.body) if answer.status == 200 else {}
    except (ValueError, RecursionError):
        told = {}
    return told if isinstance(told, dict) and told.get("sub") == subject else {}


def _is_a_word(error: str) -> bool:
    """As RFC 6749, 5.2 has them, and without a line of its own in our log."""
    return error.isascii() and error.isprintable()


def _authenticated(version: ProviderVersion, provider: Discovered, form: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of `ask`: our id and secret in the header (RFC 6749, 2.3.1), or in the form where it must be so."""
    secret = client_secret(version)
    headers, sent = {"Content-Type": _FORM}, dict(form)
    if "client_secret_basic" in provider.client_authentication:
        pair = f"{quote_plus(version.client_id)}:{quote_plus(secret)}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    else:
        sent |= {"client_id": version.client_id, "client_secret": secret}
    return {"headers": headers, "body": urlencode(sent).encode()}
