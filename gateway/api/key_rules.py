"""The organisation's rules for its keys."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.problems import errors_of
from gateway.api.queries import StrictSerializer, TextField, YesNoField
from gateway.api.view import ApiView
from identity.key_policy import IP_RANGES_MAX
from identity.key_rules import LIFE_DAYS_MAX, Creators, KeyRules, rules_of, set_key_rules
from identity.permissions import Permission

_LONGEST = "Of a secret, from its making; null: any."
_DEFAULT = "Of a key for which nobody says when it ends; null: it never does."
_RANGES = "Every key is tied to some of these addresses; empty: to none."
_CREATORS = "`administrators`: no key creates keys."
_PERSONAL = "Whether a key may be a person's."


class KeyRulesSerializer(serializers.Serializer[Any]):
    """What the organisation demands of its keys when they are created, changed or rotated."""

    longest_life_days = serializers.IntegerField(
        allow_null=True, min_value=1, max_value=LIFE_DAYS_MAX, help_text=_LONGEST
    )
    default_life_days = serializers.IntegerField(
        allow_null=True, min_value=1, max_value=LIFE_DAYS_MAX, help_text=_DEFAULT
    )
    ip_ranges = serializers.ListField(child=TextField(max_length=64), max_length=IP_RANGES_MAX, help_text=_RANGES)
    creators = serializers.ChoiceField(choices=Creators.values, help_text=_CREATORS)
    personal_keys = YesNoField(help_text=_PERSONAL)


class NewKeyRulesSerializer(StrictSerializer, KeyRulesSerializer):
    """All of the rules: a rule that is left out is an error, not one taken away."""


class KeyRulesView(ApiView):
    """`/api/key-rules`."""

    @extend_schema(
        operation_id="key_rules_read",
        summary="Read the organisation's rules for keys",
        tags=["Keys"],
        responses={200: KeyRulesSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Read what a key has to comply with. Needs `keys:manage`, or `identity:manage`."""
        caller = self.caller(request)
        if not caller.may(Permission.KEY_RULES_UPDATE):
            caller.require(Permission.KEY_READ)
        return Response(KeyRulesSerializer(rules_of(caller.tenant)).data)

    @extend_schema(
        operation_id="key_rules_set",
        summary="Set the organisation's rules for keys",
        tags=["Keys"],
        request=NewKeyRulesSerializer,
        responses={200: KeyRulesSerializer, **errors_of(400, 401, 403, 413, 415)},
    )
    def put(self, request: Request) -> Response:
        """Demand this of keys from now on; keys that are there stay as they are until they are changed or rotated.

        Needs `identity:manage`.
        """
        caller = self.caller(request)
        caller.require(Permission.KEY_RULES_UPDATE)
        asked = NewKeyRulesSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        rules = set_key_rules(
            by=caller,
            rules=KeyRules(
                longest_life_days=given["longest_life_days"],
                default_life_days=given["default_life_days"],
                ip_ranges=tuple(given["ip_ranges"]),
                creators=Creators(given["creators"]),
                personal_keys=given["personal_keys"],
            ),
        )
        return Response(KeyRulesSerializer(rules).data)
