"""One change for many keys at once: all of it, or nothing."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.problems import errors_of
from gateway.api.queries import StrictSerializer, TextField
from gateway.api.view import ApiView
from identity import access
from identity.access import Caller
from identity.errors import NotFound
from identity.key_bulk import KEYS_MAX, give_keys_to, let_keys_expire, revoke_keys
from identity.key_handover import member_to_answer
from identity.models import ApiKey
from identity.permissions import Permission

# What each change asks for beside the keys.
_FIELD_OF = {"revoke": "", "responsible": "responsible", "expiry": "expires_at"}


class KeyChangeSerializer(StrictSerializer):
    """A change for many keys."""

    change = serializers.ChoiceField(choices=list(_FIELD_OF))
    key_ids = serializers.ListField(child=TextField(max_length=16), min_length=1, max_length=KEYS_MAX)
    responsible = serializers.UUIDField(
        required=False, help_text="For `responsible`: the pseudonym of the member who answers for them from now on."
    )
    expires_at = serializers.DateTimeField(
        required=False, allow_null=True, default_timezone=UTC, help_text="For `expiry`: when they end; null: never."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Exactly what the change asks for."""
        attrs = super().validate(attrs)
        for name in filter(None, _FIELD_OF.values()):
            if (name in attrs) != (_FIELD_OF[attrs["change"]] == name):
                raise serializers.ValidationError({name: "It belongs to the change of that name, and is needed there."})
        return attrs


class KeysChangedSerializer(serializers.Serializer[Any]):
    """What came of it."""

    changed = serializers.IntegerField(help_text="How many keys; the others were so before.")


class KeyChangesView(ApiView):
    """`/api/key-changes`."""

    @extend_schema(
        operation_id="keys_change_many",
        summary="Change many keys at once",
        tags=["Keys"],
        request=KeyChangeSerializer,
        responses={200: KeysChangedSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Revoke keys of the project, or change who answers for them or when they end: all of them, or none.

        Needs `keys:manage`. Each key has its own event in the audit.
        """
        caller = self.caller(request)
        caller.require(Permission.KEY_REVOKE)
        caller.require(Permission.KEY_UPDATE)
        asked = KeyChangeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        return Response({"changed": _changed(caller, _named(caller, given["key_ids"]), given)})


def _named(caller: Caller, lookups: Sequence[str]) -> list[ApiKey]:
    """Raises `NotFound` where one of them is none of the project's."""
    found = list(access.keys_for(caller).filter(lookup__in=lookups))
    if len(found) < len(set(lookups)):
        raise NotFound("key")
    return found


def _changed(caller: Caller, keys: Sequence[ApiKey], given: Mapping[str, Any]) -> int:
    match given["change"]:
        case "revoke":
            return revoke_keys(keys, by=caller)
        case "responsible":
            return give_keys_to(keys, by=caller, responsible=member_to_answer(caller, given["responsible"]))
    return let_keys_expire(keys, by=caller, expires_at=given["expires_at"])
