"""How the organisation's people sign in: its own provider as far as a program may set it up, and what that takes.

A change of the provider takes effect only after a person has signed in with it and put it to use, in the console. So a
key prepares, tests and discards settings, and closes the organisation's own door; it never opens one.
"""

from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import timezone, translation
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.problems import errors_of
from gateway.api.queries import StrictSerializer, TextField
from gateway.api.view import ApiView
from identity import email_domains, providers
from identity.access import Caller
from identity.errors import NotFound
from identity.group_feeds import groups_feeding
from identity.models import IdentityProvider, ProviderVersion
from identity.permissions import Permission
from identity.provider_check import check_connection, is_good
from identity.providers import REQUIRED_MAX, ProviderSettings

_STATE = ProviderVersion.State


def _words(length_max: int, help_text: str) -> serializers.ListField:
    child = TextField(max_length=length_max)
    return serializers.ListField(child=child, required=False, max_length=REQUIRED_MAX, help_text=help_text)


class ProviderSettingsSerializer(StrictSerializer):
    """What has to be known of a provider of OpenID Connect."""

    issuer = TextField(max_length=255, help_text="Such as `https://login.example.org`.")
    client_id = TextField(max_length=255)
    client_secret = TextField(
        required=False,
        max_length=1_000,
        write_only=True,
        help_text="Sealed and never shown again. Left out: the one in use, which goes to the same issuer only.",
    )
    groups_claim = TextField(
        required=False, max_length=64, help_text="The claim that lists a person's groups; left out: `groups`."
    )
    required_acr = _words(200, "One of these classes is required at sign-in; empty: none.")
    required_amr = _words(64, "All of these methods are required, such as `mfa`; empty: none.")

    def settings(self) -> ProviderSettings:
        """What was asked for."""
        asked = self.validated_data
        words = {name: tuple(asked.get(name, ())) for name in ("required_acr", "required_amr")}
        return ProviderSettings(**(asked | words))


class ProviderVersionSerializer(serializers.Serializer[Any]):
    """Settings of the organisation's own provider, without the secret."""

    state = serializers.ChoiceField(
        choices=[_STATE.DRAFT.value, _STATE.TRIED.value, _STATE.ACTIVE.value],
        help_text="`draft`: nobody signed in with them yet. `tried`: who did may put them to use. `active`: in use.",
    )
    issuer = serializers.CharField()
    client_id = serializers.CharField()
    groups_claim = serializers.CharField()
    required_acr = serializers.ListField(child=serializers.CharField())
    required_amr = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    tried_at = serializers.DateTimeField(allow_null=True)


class OperatorsGroupSerializer(serializers.Serializer[Any]):
    """A group of the shared provider whose members the operator's rules bring."""

    group = serializers.CharField()
    role = serializers.CharField()


class SignInSerializer(serializers.Serializer[Any]):
    """How people of the organisation sign in."""

    active = ProviderVersionSerializer(allow_null=True, help_text="The own provider in use; null: the shared one is.")
    in_preparation = ProviderVersionSerializer(allow_null=True, help_text="Settings that change nothing yet.")
    shared_provider = serializers.CharField(allow_null=True, help_text="The name of what all organisations share.")
    domains = serializers.ListField(
        child=serializers.CharField(), help_text="Whose addresses the own provider may vouch for: the operator said so."
    )
    operators_groups = OperatorsGroupSerializer(
        many=True, help_text="Groups of the shared provider that bring members by the operator's rules."
    )
    redirect_uri = serializers.URLField(help_text="To be registered at the own provider, as are the next two.")
    back_channel_logout_uri = serializers.URLField()
    post_logout_redirect_uri = serializers.URLField()
    link = serializers.URLField(help_text="Where people of the organisation sign in.")
    scim_address = serializers.URLField(help_text="For the organisation's directory.")


class FindingSerializer(serializers.Serializer[Any]):
    """One thing that was looked at."""

    code = serializers.CharField()
    outcome = serializers.ChoiceField(choices=["good", "note", "bad"])
    detail = serializers.CharField()


class ConnectionSerializer(serializers.Serializer[Any]):
    """What a test of the connection found, in the order of a sign-in."""

    is_good = serializers.BooleanField(help_text="Nothing stands in the way of a sign-in.")
    findings = FindingSerializer(many=True)


class SignInView(ApiView):
    """`/api/sign-in`."""

    @extend_schema(
        operation_id="sign_in_read",
        summary="Read how people sign in",
        tags=["Sign-in"],
        responses={200: SignInSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Read the provider in use, the settings in preparation, and what has to be registered. Needs
        `identity:manage`.
        """
        caller = self.caller(request)
        caller.require(Permission.PROVIDER_READ)
        return Response(_shown(caller))


class PreparationView(ApiView):
    """`/api/sign-in/preparation`."""

    @extend_schema(
        operation_id="sign_in_prepare",
        summary="Prepare settings of the own provider",
        tags=["Sign-in"],
        request=ProviderSettingsSerializer,
        responses={200: SignInSerializer, **errors_of(400, 401, 403, 413, 415)},
    )
    def put(self, request: Request) -> Response:
        """Prepare settings, in place of others in preparation. Needs `identity:manage`.

        They change nothing until a person who may manage sign-in has signed in with them and put them to use, in the
        console: so nobody is locked out by a mistake.
        """
        caller = self.caller(request)
        caller.require(Permission.PROVIDER_UPDATE)
        asked = ProviderSettingsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        providers.prepare_version(by=caller, settings=asked.settings())
        return Response(_shown(caller))

    @extend_schema(
        operation_id="sign_in_withdraw",
        summary="Discard settings in preparation",
        tags=["Sign-in"],
        responses={204: None, **errors_of(401, 403, 404, 409)},
    )
    def delete(self, request: Request) -> Response:
        """Discard them. Needs `identity:manage`."""
        caller = self.caller(request)
        caller.require(Permission.PROVIDER_UPDATE)
        version = providers.version_in_preparation(_own(caller))
        if version is None:
            raise NotFound("provider")
        providers.withdraw(version, by=caller, now=timezone.now())
        return Response(status=204)


class TestSignInView(ApiView):
    """`/api/sign-in/test`."""

    __test__ = False  # a view whose name begins like a test's

    @extend_schema(
        operation_id="sign_in_test",
        summary="Test the connection to the own provider",
        tags=["Sign-in"],
        request=None,
        responses={200: ConnectionSerializer, **errors_of(401, 403, 404)},
    )
    def post(self, request: Request) -> Response:
        """Say what is wrong with the settings in preparation, or else with those in use. Needs `identity:manage`."""
        caller = self.caller(request)
        caller.require(Permission.PROVIDER_UPDATE)
        own = _own(caller)
        version = providers.version_in_preparation(own) or providers.active_version(own)
        if version is None:
            raise NotFound("provider")
        with translation.override("en"):
            findings = check_connection(version, redirect_uri=_address("oidc-callback", handle=own.handle))
        return Response(ConnectionSerializer({"is_good": is_good(findings), "findings": findings}).data)


class SwitchOffView(ApiView):
    """`/api/sign-in/switch-off`."""

    @extend_schema(
        operation_id="sign_in_switch_off",
        summary="Switch the own provider off",
        tags=["Sign-in"],
        request=None,
        responses={200: SignInSerializer, **errors_of(401, 403, 404, 409)},
    )
    def post(self, request: Request) -> Response:
        """Close the organisation's own door: sessions through it end, people come through the shared one again.

        Needs `identity:manage`.
        """
        caller = self.caller(request)
        caller.require(Permission.PROVIDER_UPDATE)
        providers.switch_off(_own(caller), by=caller, now=timezone.now())
        return Response(_shown(caller))


def _own(caller: Caller) -> IdentityProvider:
    own = providers.provider_of(caller.tenant)
    if own is None:
        raise NotFound("provider")
    return own


def _shown(caller: Caller) -> dict[str, Any]:
    own, shared, slug = providers.provider_of(caller.tenant), providers.shared_version(), caller.tenant.slug
    tenants = IdentityProvider(audience=IdentityProvider.Audience.TENANT, tenant=caller.tenant)
    values = {
        "active": providers.active_version(own) if own else None,
        "in_preparation": providers.version_in_preparation(own) if own else None,
        "shared_provider": shared.provider.name if shared else None,
        "domains": [row.domain for row in email_domains.domains_of(caller.tenant)],
        "operators_groups": [{"group": group, "role": role.value} for group, role in groups_feeding(caller.tenant)],
        "redirect_uri": _address("oidc-callback", handle=tenants.handle),
        "back_channel_logout_uri": _address("oidc-back-channel", handle=tenants.handle),
        "post_logout_redirect_uri": _address("signed-out"),
        "link": _address("tenant-sign-in", slug=slug),
        "scim_address": _address("scim-root", slug=slug),
    }
    return dict(SignInSerializer(values).data)


def _address(name: str, **parts: str) -> str:
    return f"{settings.PUBLIC_URL}{reverse(name, kwargs=parts)}"
