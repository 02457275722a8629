"""Is a provider set up so that people can sign in through it? Looked at without anybody signing in.

The client's id and secret are shown to the token endpoint with a code that nobody gave out: a provider that knows the
client refuses the code (`invalid_grant`), one that does not refuses the client.
"""

from dataclasses import dataclass
from typing import Literal

from django.utils.translation import gettext as _

from identity.models import ProviderVersion
from identity.oidc_client import CodeRefused, redeem_code
from identity.oidc_discovery import ALGORITHMS, Discovered, ProviderTrouble, discover, keys_of

Outcome = Literal["good", "note", "bad"]
_NO_CODE = "beffroi-connection-test"
_REFUSES_CLIENT = frozenset({"invalid_client", "unauthorized_client"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, in words. "note": it works, but somebody should know."""

    code: str
    outcome: Outcome
    detail: str


def check_connection(version: ProviderVersion, *, redirect_uri: str) -> list[Finding]:
    """All findings, in the order of a sign-in; those that need an earlier one that failed are left out."""
    try:
        provider = discover(version.issuer, anew=True)
    except ProviderTrouble as trouble:
        return [Finding(trouble.code, "bad", _("The provider's metadata: %(trouble)s.") % {"trouble": trouble})]
    findings = [Finding("discovery", "good", _("The provider's metadata can be read."))]
    findings += [_algorithms(provider), _keys(provider), _challenge(provider)]
    findings.append(_client(version, provider, redirect_uri))
    findings.append(_logout(provider))
    return findings


def is_good(findings: list[Finding]) -> bool:
    """Whether nothing stands in the way of a sign-in."""
    return all(finding.outcome != "bad" for finding in findings)


def _algorithms(provider: Discovered) -> Finding:
    if set(ALGORITHMS) & set(provider.algorithms):
        return Finding("algorithms", "good", _("ID tokens are signed with an algorithm that we verify."))
    detail = _("The provider signs ID tokens with %(theirs)s only; we accept %(ours)s.")
    theirs = ", ".join(provider.algorithms)[:200] or _("no algorithm that it names")
    return Finding("algorithms", "bad", detail % {"theirs": theirs, "ours": ", ".join(ALGORITHMS)})


def _keys(provider: Discovered) -> Finding:
    try:
        keys_of(provider)
    except ProviderTrouble as trouble:
        return Finding(trouble.code, "bad", _("The provider's keys: %(trouble)s.") % {"trouble": trouble})
    return Finding("keys", "good", _("The provider's keys can be read."))


def _challenge(provider: Discovered) -> Finding:
    if "S256" in provider.challenge_methods:
        return Finding("pkce", "good", _("The provider supports PKCE with S256."))
    if not provider.challenge_methods:
        return Finding(
            "pkce", "note", _("The provider does not say whether it supports PKCE. We send it all the same.")
        )
    return Finding("no_pkce", "bad", _("The provider does not support PKCE with S256, which we require."))


def _client(version: ProviderVersion, provider: Discovered, redirect_uri: str) -> Finding:
    try:
        redeem_code(version, provider, code=_NO_CODE, code_verifier=_NO_CODE * 2, redirect_uri=redirect_uri)
    except CodeRefused as refused:
        if refused.code in _REFUSES_CLIENT:
            detail = _("The provider refuses our client id or secret. Enter them as they are registered there.")
            return Finding("client_refused", "bad", detail)
        return Finding("client", "good", _("The provider knows our client id and secret."))
    except ProviderTrouble as trouble:
        return Finding(trouble.code, "bad", _("The provider's token endpoint: %(trouble)s.") % {"trouble": trouble})
    return Finding("client", "bad", _("The provider gave a token for a code that nobody gave out. Do not trust it."))


def _logout(provider: Discovered) -> Finding:
    if provider.end_session_endpoint and provider.has_back_channel_logout:
        return Finding("logout", "good", _("Signing out here and there ends both."))
    if provider.end_session_endpoint:
        detail = _("Signing out here ends the provider's session too, but not the other way round.")
        return Finding("logout", "note", detail)
    return Finding(
        "logout", "note", _("The provider offers no sign-out: its own session stays when people sign out here.")
    )
