"""A key's secrets: a new one, the end of the one before."""

from datetime import timedelta

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.keys import KeySerializer
from gateway.api.problems import errors_of
from gateway.api.queries import StrictSerializer
from gateway.api.view import ApiView
from identity import access
from identity.key_rotation import GRACE_DEFAULT, GRACE_MAX, end_previous_secret, rotate_api_key
from identity.permissions import Permission

_IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description=(
        "Names this rotation. Sent again with the same value, for an answer that was lost, it replaces only the secret "
        "that nobody got: the one before works on until the end that the first answer had."
    ),
)


class RotationSerializer(StrictSerializer):
    """How to rotate a key."""

    grace_seconds = serializers.IntegerField(
        required=False,
        default=int(GRACE_DEFAULT.total_seconds()),
        min_value=0,
        max_value=int(GRACE_MAX.total_seconds()),
        help_text="So long the present secret works beside the new one.",
    )


class RotatedKeySerializer(KeySerializer):
    """A key just rotated: the only answer with its new text."""

    key = serializers.CharField(help_text="The key with its new secret. Keep it now: it is never shown again.")
    previous_ended = serializers.BooleanField(
        help_text="A secret that was still in the grace of an earlier rotation ended with this one."
    )
    is_repeat = serializers.BooleanField(help_text="It was the same rotation again: its first new secret has ended.")


class RotateKeyView(ApiView):
    """`/api/keys/{key_id}/rotate`."""

    @extend_schema(
        operation_id="keys_rotate",
        summary="Give a key a new secret",
        tags=["Keys"],
        parameters=[_IDEMPOTENCY],
        request=RotationSerializer,
        responses={200: RotatedKeySerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def post(self, request: Request, key_id: str) -> Response:
        """Give a key a new secret; the present one works on for a while. Its id, budgets and what was consumed stay.

        Needs `keys:manage`, and nothing in the key that the key which asks has not. At most two secrets work: one that
        is still in the grace of an earlier rotation ends now. Where the answer was lost, send the same again with the
        same `Idempotency-Key`. A key that rotates itself and asks with the secret before keeps that one likewise.
        """
        caller = self.caller(request)
        key = access.key_for(caller, key_id, Permission.KEY_ROTATE)
        asked = RotationSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        done = rotate_api_key(
            key,
            by=caller,
            grace=timedelta(seconds=asked.validated_data["grace_seconds"]),
            request=request.headers.get("Idempotency-Key", ""),
        )
        shown = KeySerializer(access.key_for(caller, key_id)).data
        told = {"key": done.text, "previous_ended": done.previous_ended, "is_repeat": done.is_repeat}
        return Response(shown | told, headers={"Cache-Control": "no-store"})


class EndPreviousSecretView(ApiView):
    """`/api/keys/{key_id}/end-previous-secret`."""

    @extend_schema(
        operation_id="keys_end_previous_secret",
        summary="End the secret before a rotation",
        tags=["Keys"],
        request=None,
        responses={200: KeySerializer, **errors_of(401, 403, 404)},
    )
    def post(self, request: Request, key_id: str) -> Response:
        """End the grace of a rotated key's secret before, within a second. Needs `keys:manage`. Twice is once."""
        caller = self.caller(request)
        end_previous_secret(access.key_for(caller, key_id, Permission.KEY_ROTATE), by=caller)
        return Response(KeySerializer(access.key_for(caller, key_id)).data)
