"""Keys: what this one is and may do, and those of its project."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.limits.key_bounds import make_bounded_key
from billing.limits.standing import budgets_on_path, limits_on_path
from gateway.api.budgets import BudgetSerializer, LimitSerializer, path_of
from gateway.api.key_bounds import LIMITS_MAX, KeyBudgetSerializer, KeyLimitSerializer, bounds_asked
from gateway.api.language_models import callable_model_names
from gateway.api.problems import errors_of
from gateway.api.queries import KeysQuery, StrictSerializer, next_address, parameters
from gateway.api.view import ApiView
from identity import access
from identity.access import Caller
from identity.api_keys import revoke_api_key
from identity.budget_duties import people_answering
from identity.errors import Invalid
from identity.keep import Keep
from identity.key_changes import change_api_key
from identity.key_handover import member_to_answer
from identity.key_policy import IP_RANGES_MAX, MODELS_MAX, ORIGINS_MAX, KeyPolicy, policy_of
from identity.key_rules import KeyRules, rules_of
from identity.key_search import COUNTED_MAX, KeyFilters, KeyPage, Sort, State, search_keys
from identity.key_use import last_used_at
from identity.models import ApiKey, Person, Project
from identity.permissions import Permission
from identity.scopes import Scope

_SCOPES = (
    "`inference`: call models. `usage:read:tenant`: read the usage and the budgets of the whole organisation. "
    "`keys:manage`: create, list, change, rotate and revoke keys of the project. "
    "`projects:manage`: create, change and archive projects. `budgets:manage`: set and end budgets and limits. "
    "`audit:read`: read and export the audit of the organisation. "
    "`members:read`: read members, invitations, access reviews and support sessions. "
    "`members:manage`: also invite, change and remove members of the project who may do no more than the key. "
    "`tenant:manage`: read the organisation's notices, manage its webhooks and settings. "
    "`identity:manage`: prepare the organisation's identity provider, manage its directory's tokens and its rules for "
    "keys: it can let in people who may do more than the key. `billing:read`: read the contract and the statements. "
    "`tier:choose`: also take another tier. "
    "`credit:order`: also order prepaid credit. "
    "Reading its own needs no scope."
)


def _texts(length_max: int, count_max: int, help_text: str) -> serializers.ListField:
    child = serializers.CharField(max_length=length_max)
    return serializers.ListField(child=child, required=False, max_length=count_max, help_text=help_text)


def _responsible_field() -> serializers.UUIDField:
    return serializers.UUIDField(
        required=False, allow_null=True, help_text="The pseudonym of the member who answers for a project's key."
    )


class PolicySerializer(serializers.Serializer[Any]):
    """What a key may do."""

    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=[scope.value for scope in Scope]),
        min_length=1,
        max_length=len(Scope),
        help_text=_SCOPES,
    )
    allowed_models = _texts(200, MODELS_MAX, "Ids of the only models that it may call; empty: all.")
    ip_ranges = _texts(64, IP_RANGES_MAX, "The only addresses or networks that it may be used from; empty: all.")
    origins = _texts(255, ORIGINS_MAX, "Origins whose web pages may use it; empty: no browser.")
    expires_at = serializers.DateTimeField(
        required=False, allow_null=True, default_timezone=UTC, help_text="When it ends; null: never."
    )


class NewKeySerializer(StrictSerializer, PolicySerializer):
    """A key to be created, of the creating key's project and owner.

    It can do at most what the creating key can. A restriction that is left out (`allowed_models`, `ip_ranges`,
    `expires_at`) is taken over from there, or from the organisation's rules for keys (`/api/key-rules`); `origins` left
    out means no browser.
    """

    name = serializers.CharField(max_length=200)
    responsible = _responsible_field()
    budget = KeyBudgetSerializer(required=False, help_text="A budget of its own; `/api/budgets` changes it later.")
    limits = serializers.ListField(
        child=KeyLimitSerializer(),
        required=False,
        max_length=LIMITS_MAX,
        help_text="Limits of its own; `/api/limits` changes them later.",
    )

    def policy(self, maker: ApiKey, rules: KeyRules) -> KeyPolicy:
        """What was asked for, its gaps filled."""
        asked = self.validated_data
        ends = [end for end in (maker.expires_at, rules.proposed_end(timezone.now())) if end is not None]
        return KeyPolicy(
            scopes=frozenset(Scope(scope) for scope in asked["scopes"]),
            allowed_models=tuple(asked.get("allowed_models", maker.allowed_models)),
            ip_ranges=tuple(asked.get("ip_ranges", maker.ip_ranges)),
            origins=tuple(asked.get("origins", ())),
            expires_at=asked.get("expires_at", min(ends, default=None)),
        )


class ChangedKeySerializer(StrictSerializer, PolicySerializer):
    """What is to be different of a key. What is left out stays; what was consumed of its budgets and limits too."""

    name = serializers.CharField(max_length=200, required=False)
    responsible = _responsible_field()

    def get_fields(self) -> dict[str, Any]:
        """As `PolicySerializer`, but nothing has to be there."""
        fields = super().get_fields()
        fields["scopes"].required = False
        return fields

    def policy(self, key: ApiKey) -> KeyPolicy:
        """The key's, with what was asked for."""
        asked, now = self.validated_data, policy_of(key)
        return KeyPolicy(
            scopes=frozenset(Scope(scope) for scope in asked.get("scopes", now.scopes)),
            allowed_models=tuple(asked.get("allowed_models", now.allowed_models)),
            ip_ranges=tuple(asked.get("ip_ranges", now.ip_ranges)),
            origins=tuple(asked.get("origins", now.origins)),
            expires_at=asked.get("expires_at", now.expires_at),
        )


class PreviousSecretSerializer(serializers.Serializer[Any]):
    """The secret that a rotation replaced, in its grace."""

    ends_at = serializers.DateTimeField(source="previous_ends_at", help_text="It works until then.")
    last_used_at = serializers.DateTimeField(source="use.previous_last_used_at", default=None, allow_null=True)


class KeySerializer(PolicySerializer):
    """A key, without its secret."""

    id = serializers.CharField(source="lookup", help_text="What follows `bfr_` in its text.")
    name = serializers.CharField()
    project_id = serializers.IntegerField()
    owner = serializers.SerializerMethodField(help_text="The pseudonym of whose key it is; null: the project's.")
    responsible = serializers.SerializerMethodField(help_text="The pseudonym of who answers for a project's key.")
    status = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    last_used_at = serializers.SerializerMethodField(
        help_text="By either secret, true to a minute or two; null: never."
    )
    rotated_at = serializers.DateTimeField(
        allow_null=True, help_text="When it got its present secret; null: it has its first."
    )
    previous_secret = serializers.SerializerMethodField(help_text="The secret before, as long as it still works.")
    revoked_at = serializers.DateTimeField(allow_null=True)
    blocked_at = serializers.DateTimeField(
        allow_null=True, help_text="Since when the operator of the platform refuses it."
    )
    blocked_reason = serializers.CharField(help_text="Why, in the operator's words.")

    def get_fields(self) -> dict[str, Any]:
        """As `PolicySerializer`, but everything is always there."""
        fields = super().get_fields()
        for field in fields.values():
            field.required = not field.read_only
        return fields

    @extend_schema_field({"type": "string", "format": "uuid", "nullable": True})
    def get_owner(self, key: ApiKey) -> str | None:
        """A pseudonym: it stays when the person is erased."""
        return str(key.owner.pseudonym) if key.owner else None

    @extend_schema_field({"type": "string", "format": "uuid", "nullable": True})
    def get_responsible(self, key: ApiKey) -> str | None:
        """A pseudonym, as the owner."""
        return str(key.responsible.pseudonym) if key.responsible else None

    @extend_schema_field({"type": "string", "format": "date-time", "nullable": True})
    def get_last_used_at(self, key: ApiKey) -> str | None:
        """The later of its two secrets' uses."""
        at = last_used_at(key)
        return serializers.DateTimeField(default_timezone=UTC).to_representation(at) if at else None

    @extend_schema_field(PreviousSecretSerializer(allow_null=True))
    def get_previous_secret(self, key: ApiKey) -> dict[str, Any] | None:
        """None where there is none or its grace is over."""
        if key.previous_ends_at is None or key.previous_ends_at <= timezone.now():
            return None
        return PreviousSecretSerializer(key).data

    @extend_schema_field({"type": "string", "enum": ["active", "blocked", "expired", "revoked"]})
    def get_status(self, key: ApiKey) -> str:
        """Whether it opens doors, as far as the key itself decides."""
        if key.revoked_at is not None:
            return "revoked"
        if key.blocked_at is not None:
            return "blocked"
        return "expired" if key.expires_at is not None and key.expires_at <= timezone.now() else "active"


class CreatedKeySerializer(KeySerializer):
    """A key just created: the only answer with its text."""

    key = serializers.CharField(help_text="The key itself. Keep it now: it is stored nowhere and never shown again.")


class KeyPageSerializer(serializers.Serializer[Any]):
    """Keys, in the order asked for."""

    results = KeySerializer(many=True)
    total = serializers.IntegerField(help_text=f"Found altogether; {COUNTED_MAX + 1} stands for more.")
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class ProjectSerializer(serializers.Serializer[Project]):
    """A project."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    cost_centre = serializers.CharField()


class TenantSerializer(serializers.Serializer[Any]):
    """An organisation."""

    slug = serializers.CharField()
    name = serializers.CharField()
    time_zone = serializers.CharField(help_text="Its days, budgets and windows begin at midnight here.")


class OwnKeySerializer(KeySerializer):
    """The key that asks, and everything that binds it."""

    tenant = TenantSerializer()
    project = ProjectSerializer()
    models = serializers.ListField(child=serializers.CharField(), help_text="Ids of the models it can call now.")
    budgets = BudgetSerializer(many=True)
    limits = LimitSerializer(many=True)


class OwnKeyView(ApiView):
    """`/api/key`."""

    @extend_schema(
        operation_id="key_read_own",
        summary="Read what this key is and what is left for it",
        tags=["Keys"],
        responses={200: OwnKeySerializer, **errors_of(401)},
    )
    def get(self, request: Request) -> Response:
        """Read what this key is: its project, the models it can call, what is left of each budget and limit."""
        key = self.key(request)
        path = path_of(self.caller(request))
        budgets = budgets_on_path(*path)
        own = {"lookups": {key.pk: key.lookup}, "answering": people_answering(one.id for one in budgets)}
        shown = KeySerializer(key).data | {
            "tenant": TenantSerializer(key.tenant).data,
            "project": ProjectSerializer(key.project).data,
            "models": callable_model_names(key),
            "budgets": BudgetSerializer(budgets, many=True, context=own).data,
            "limits": LimitSerializer(limits_on_path(*path), many=True, context=own).data,
        }
        return Response(shown)


class KeysView(ApiView):
    """`/api/keys`."""

    @extend_schema(
        operation_id="keys_list",
        summary="List the keys of the project",
        tags=["Keys"],
        parameters=[KeysQuery],
        responses={200: KeyPageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the keys of this key's project, revoked ones too, by what is known of them. Needs `keys:manage`."""
        given = parameters(KeysQuery, request)
        page = _found(self.caller(request), given)
        results = KeySerializer(page.keys, many=True).data
        return Response({"results": results, "total": page.total, "next": next_address(request, page.next)})

    @extend_schema(
        operation_id="keys_create",
        summary="Create a key",
        tags=["Keys"],
        request=NewKeySerializer,
        responses={201: CreatedKeySerializer, **errors_of(400, 401, 403, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Create a key in this key's project. Needs `keys:manage`; the new key can do at most what this one can."""
        caller = self.caller(request)
        caller.require(Permission.KEY_CREATE)
        asked = NewKeySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        maker = self.key(request)
        answering = asked.validated_data.get("responsible")
        key, text = make_bounded_key(
            maker=caller,
            project=maker.project,
            name=asked.validated_data["name"],
            policy=asked.policy(maker, rules_of(caller.tenant)),
            bounds=bounds_asked(asked.validated_data),
            owner=maker.owner,
            responsible=member_to_answer(caller, answering) if answering else None,
        )
        shown = KeySerializer(key).data | {"key": text}
        return Response(shown, status=201, headers={"Location": f"/api/keys/{key.lookup}", "Cache-Control": "no-store"})


class KeyView(ApiView):
    """`/api/keys/{key_id}`."""

    @extend_schema(
        operation_id="keys_read",
        summary="Read one key",
        tags=["Keys"],
        responses={200: KeySerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, key_id: str) -> Response:
        """Read one key of the project. Needs `keys:manage`, but for itself."""
        return Response(KeySerializer(access.key_for(self.caller(request), key_id)).data)

    @extend_schema(
        operation_id="keys_change",
        summary="Change a key",
        tags=["Keys"],
        request=ChangedKeySerializer,
        responses={200: KeySerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def patch(self, request: Request, key_id: str) -> Response:
        """Change what is given of a key. Needs `keys:manage`; it can do at most what the key that asks can."""
        caller = self.caller(request)
        key = access.key_for(caller, key_id, Permission.KEY_UPDATE)
        asked = ChangedKeySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        answering: Person | Keep | None = Keep.KEEP
        if "responsible" in given:
            answering = member_to_answer(caller, given["responsible"]) if given["responsible"] else None
        policy = asked.policy(key)
        change_api_key(key, by=caller, name=given.get("name"), policy=policy, responsible=answering)
        return Response(KeySerializer(access.key_for(caller, key_id)).data)

    @extend_schema(
        operation_id="keys_delete",
        summary="Revoke a key",
        tags=["Keys"],
        responses={204: None, **errors_of(401, 403, 404)},
    )
    def delete(self, request: Request, key_id: str) -> Response:
        """Revoke a key, as `POST /api/keys/{key_id}/revoke`. Its row stays: usage records name it."""
        _revoke(self.caller(request), key_id)
        return Response(status=204)


class RevokeKeyView(ApiView):
    """`/api/keys/{key_id}/revoke`."""

    @extend_schema(
        operation_id="keys_revoke",
        summary="Revoke a key",
        tags=["Keys"],
        request=None,
        responses={200: KeySerializer, **errors_of(401, 403, 404)},
    )
    def post(self, request: Request, key_id: str) -> Response:
        """Stop a key for good, within a second. Needs `keys:manage`. Once more changes nothing."""
        return Response(KeySerializer(_revoke(self.caller(request), key_id)).data)


def _found(caller: Caller, given: Mapping[str, Any]) -> KeyPage:
    filters = KeyFilters(
        text=given.get("text", ""),
        person=given.get("person"),
        state=State(given["state"]) if "state" in given else None,
        sort=Sort(given["sort"]),
    )
    try:
        return search_keys(caller, filters, now=timezone.now(), after=given.get("cursor", ""), size=given["limit"])
    except Invalid as refused:
        raise Invalid("cursor", refused.message) from refused


def _revoke(caller: Caller, key_id: str) -> ApiKey:
    key = access.key_for(caller, key_id, Permission.KEY_REVOKE)
    revoke_api_key(key, actor=caller.actor)
    return key
