"""What the operator's key that asks is."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.operator.view import OperatorApiView
from gateway.api.problems import errors_of
from identity.models import OperatorKey


class OperatorKeySerializer(serializers.Serializer[Any]):
    """An operator's key, without its secret."""

    id = serializers.CharField(source="lookup", help_text="What follows `bfo_` in its text.")
    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField(), help_text="`write` includes `read`.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()


class OwnOperatorKeyView(OperatorApiView):
    """`/api/operator/key`."""

    noun = None

    @extend_schema(
        operation_id="operator_key_read",
        summary="Read the operator's key that asks",
        tags=["Operator"],
        responses={200: OperatorKeySerializer, **errors_of(401)},
    )
    def get(self, request: Request) -> Response:
        """Read its name, scopes and expiry. Keys are made and revoked by people, under Settings."""
        key = self.operator(request).key
        assert isinstance(key, OperatorKey)
        return Response(OperatorKeySerializer(key).data)
