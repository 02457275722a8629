"""mozilla-django-oidc's backend, with its defaults made safe: it asks our verbs where it would ask the network or match
people by e-mail address.
"""

import logging
from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils import timezone, translation
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from billing.invoices.payers import join_payers
from billing.tenants.group_organisations import make_at_sign_in
from console.sign_in.flows import redirect_uri
from identity import group_rules
from identity.claims import Claims, claims_of
from identity.errors import SignInRefusal, SignInRefused
from identity.id_tokens import verify_id_token
from identity.invitations import accept_invitations
from identity.linked_identities import person_for
from identity.models import Person, ProviderVersion
from identity.oidc_client import redeem_code, user_info
from identity.oidc_discovery import Discovered, discover

logger = logging.getLogger("beffroi.sign_in")


class ProviderBackend(OIDCAuthenticationBackend):  # type: ignore[misc]
    """Signs somebody in through one version of a provider's settings. One instance a sign-in.

    What the library would read from Django's settings is in the version: there are many providers.
    """

    version: ProviderVersion
    provider: Discovered
    claims: Claims
    id_token: str

    def __init__(self) -> None:
        self.UserModel = get_user_model()

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> Person | None:
        """The person; `version`, `nonce` and `code_verifier` come from the flow.

        Raises `SignInRefused`, `TokenRefused`, `CodeRefused`, `ProviderTrouble`.
        """
        version = credentials.get("version")
        if request is None or not isinstance(version, ProviderVersion):
            return None
        self.request, self.version, self.provider = request, version, discover(version.issuer)
        tokens = self.get_token({"code": request.GET["code"], "code_verifier": credentials["code_verifier"]})
        payload = self.verify_token(tokens["id_token"], nonce=credentials["nonce"])
        self.id_token = tokens["id_token"]
        return self.get_or_create_user(tokens.get("access_token"), self.id_token, payload)

    def get_token(self, payload: dict[str, str]) -> dict[str, Any]:
        """The provider's tokens for the code."""
        return redeem_code(
            self.version,
            self.provider,
            code=payload["code"],
            code_verifier=payload["code_verifier"],
            redirect_uri=redirect_uri(self.version.provider),
        )

    def verify_token(self, token: str, **kwargs: Any) -> dict[str, Any]:
        """The payload of the ID token: signature, issuer, audience, party, times and nonce hold."""
        return verify_id_token(
            token,
            provider=self.provider,
            client_id=self.version.client_id,
            nonce=kwargs["nonce"],
            now=timezone.now(),
        )

    def get_userinfo(self, access_token: Any, id_token: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The ID token's claims, and what the provider tells beside it where the token left something out."""
        wanted = ("email", "email_verified", self.version.groups_claim.partition(".")[0])
        missing = [name for name in wanted if name not in payload]
        if not missing or not self.provider.userinfo_endpoint or not isinstance(access_token, str):
            return payload
        return user_info(self.provider, access_token, payload["sub"]) | payload

    def get_or_create_user(self, access_token: Any, id_token: str, payload: dict[str, Any]) -> Person:
        """Found by (issuer, subject), linked by a verified address, or made; memberships follow the groups."""
        told = self.get_userinfo(access_token, id_token, payload)
        self.claims = claims_of(told, groups_claim=self.version.groups_claim)
        if not self.claims.is_strong_enough(self.version.required_acr, self.version.required_amr):
            raise SignInRefused(SignInRefusal.STRONGER_SIGN_IN)
        return person_for(self.claims, self.version.provider, language=translation.get_language() or "en")

    def apply_groups(self, person: Person) -> None:
        """Make the organisations that rules make of the groups, then the memberships what the groups say; not for
        settings that are only tried. Groups that the provider withholds change nothing.
        """
        if self.claims.groups_withheld:
            logger.warning("a provider withholds the groups of somebody who is in too many: memberships stay")
            return
        make_at_sign_in(self.version.provider, self.claims.groups)
        group_rules.apply(person, self.version.provider, self.claims.groups)

    def accept_invitations(self, person: Person) -> None:
        """Make the person a member, or one of a payer's people, where the vouched-for address was asked."""
        email = self.claims.email if self.claims.email_verified else ""
        provider, now = self.version.provider, timezone.now()
        accept_invitations(person=person, verified_email=email, through=provider, now=now)
        join_payers(person=person, verified_email=email, through=provider, now=now)

    def get_user(self, user_id: Any) -> Person | None:
        """Django's machinery asks by id; whether the session counts, `sessions.sign_in_of` says."""
        return Person.objects.filter(pk=user_id, is_active=True).first()
