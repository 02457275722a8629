"""Tokens of the organisation's directory, which provisions people by SCIM. Each is shown once."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.problems import errors_of
from gateway.api.queries import StrictSerializer, TextField
from gateway.api.view import ApiView
from identity import scim_tokens
from identity.permissions import Permission


class NewScimTokenSerializer(StrictSerializer):
    """A token to be."""

    name = TextField(max_length=200, help_text="The directory that is to use it.")


class ScimTokenSerializer(serializers.Serializer[Any]):
    """A token, without its text."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    made_by_owner = serializers.BooleanField(help_text="Only such a token touches owners; none that a key made does.")
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="True to a minute; null: never.")


class MadeScimTokenSerializer(ScimTokenSerializer):
    """A token just made: the only answer with its text."""

    token = serializers.CharField(help_text="`bfr_scim_...`. Keep it now: it is never shown again.")


class ScimTokenListSerializer(serializers.Serializer[Any]):
    """The tokens in use, the newest first; there are ten at most."""

    results = ScimTokenSerializer(many=True)


class ScimTokensView(ApiView):
    """`/api/scim-tokens`."""

    @extend_schema(
        operation_id="scim_tokens_list",
        summary="List the directory's tokens",
        tags=["Sign-in"],
        responses={200: ScimTokenListSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the tokens in use. Needs `identity:manage`."""
        tokens = scim_tokens.tokens_of(self.caller(request))
        return Response({"results": ScimTokenSerializer(tokens, many=True).data})

    @extend_schema(
        operation_id="scim_tokens_create",
        summary="Make a token for the directory",
        tags=["Sign-in"],
        request=NewScimTokenSerializer,
        responses={201: MadeScimTokenSerializer, **errors_of(400, 401, 403, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Make a token; the answer has its text. Needs `identity:manage`. Whoever holds it lets people in."""
        caller = self.caller(request)
        caller.require(Permission.PROVIDER_UPDATE)
        asked = NewScimTokenSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        token, text = scim_tokens.make_token(by=caller, name=asked.validated_data["name"])
        shown = ScimTokenSerializer(token).data | {"token": text}
        return Response(shown, status=201, headers={"Cache-Control": "no-store"})


class ScimTokenView(ApiView):
    """`/api/scim-tokens/{token_id}`."""

    @extend_schema(
        operation_id="scim_tokens_revoke",
        summary="Revoke a token of the directory",
        tags=["Sign-in"],
        responses={204: None, **errors_of(401, 403, 404)},
    )
    def delete(self, request: Request, token_id: int) -> Response:
        """Stop it from its next request on. Needs `identity:manage`."""
        scim_tokens.revoke_token(by=self.caller(request), token_id=token_id, now=timezone.now())
        return Response(status=204)
