"""Engines, for those who run the platform: registered by address, drained, ejected, put back, taken off the list."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.operator.models import model_of
from gateway.api.operator.view import OperatorApiView, page_of
from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, StrictSerializer, TextField
from gateway.pools import places
from gateway.pools.models import Replica
from gateway.pools.publishing import add_engine, drain, eject, put_back, take_away
from gateway.pools.registry import OUT
from identity.errors import NotFound

State = Replica.State
_WISHES = {
    "in": "takes requests once a probe finds it sound",
    "draining": "ends what it answers",
    "ejected": "is cut off",
}


class OperatedEngineSerializer(serializers.Serializer[Any]):
    """An engine of a model. Its key is not shown."""

    id = serializers.IntegerField(source="pk")
    model = serializers.CharField(source="pool.model.name", help_text="The id of the model that it serves.")
    served_name = serializers.CharField(source="pool.served_name", help_text="The engine's own name for the model.")
    pool = serializers.CharField(source="pool.name")
    name = serializers.CharField()
    url = serializers.CharField()
    node = serializers.CharField(help_text="The machine that it runs on, where somebody said so.")
    gpus = serializers.ListField(child=serializers.IntegerField(), help_text="Of its node, by index.")
    running = serializers.IntegerField(
        source="observed.running", allow_null=True, help_text="Requests under way, as its node said last."
    )
    waiting = serializers.IntegerField(
        source="observed.waiting", allow_null=True, help_text="Requests that wait in it."
    )
    kv_cache_use = serializers.FloatField(source="observed.kv_cache_use", allow_null=True, help_text="From 0 to 1.")
    state = serializers.ChoiceField(choices=State.values, help_text="Only one that is `ready` takes requests.")
    reason = serializers.CharField(source="state_reason", help_text="Why it is not ready; empty otherwise.")
    silent_since = serializers.DateTimeField(
        allow_null=True,
        help_text="Since when it gives no answer, ready as it was; null: it answered when it was last asked, which is "
        "done every minute.",
    )
    registered_by = serializers.ChoiceField(
        source="source", choices=Replica.Source.values, help_text="Who keeps it on the list."
    )
    probed_at = serializers.DateTimeField(allow_null=True)
    requests_at_once = serializers.IntegerField(
        source="pool.requests_at_once",
        allow_null=True,
        help_text="So many it is sent at once, as every engine of its pool; null: as many as come.",
    )


class OperatedEnginePageSerializer(serializers.Serializer[Any]):
    """Engines, in the order in which they came."""

    results = OperatedEngineSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class NewEngineSerializer(StrictSerializer):
    """An engine to be registered."""

    model = TextField(max_length=200, help_text="The id of the model that it serves.")
    url = TextField(max_length=300, help_text="`http://host:port` of a server that speaks OpenAI's API.")
    api_key = TextField(
        required=False, allow_blank=True, max_length=500, help_text="What it asks for; stored encrypted, never shown."
    )
    served_name = TextField(
        required=False, allow_blank=True, max_length=200, help_text="The engine's own name for the model, if another."
    )
    node = TextField(required=False, allow_blank=True, max_length=100, help_text="The machine that it runs on.")


class ServiceSerializer(StrictSerializer):
    """Whether an engine is to take requests, and how many. What is left out stays as it is."""

    service = serializers.ChoiceField(
        required=False,
        choices=list(_WISHES),
        help_text="; ".join(f"`{wish}`: it {does}" for wish, does in _WISHES.items()),
    )
    requests_at_once = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=places.MOST,
        help_text="So many each engine of its pool is sent at once; the others wait, and organisations take turns. "
        "0: as many as come.",
    )


class OperatedEnginesView(OperatorApiView):
    """`/api/operator/engines`."""

    noun = "pools"

    @extend_schema(
        operation_id="operator_engines_list",
        summary="List engines with their health",
        tags=["Operator"],
        parameters=[PageQuery],
        responses={200: OperatedEnginePageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List all engines. Needs `pools:read`."""
        engines = Replica.objects.select_related("pool__model").order_by("pk")
        return page_of(request, engines, lambda page: OperatedEngineSerializer(page, many=True).data)

    @extend_schema(
        operation_id="operator_engines_add",
        summary="Register an engine",
        tags=["Operator"],
        request=NewEngineSerializer,
        responses={
            200: OperatedEngineSerializer,
            201: OperatedEngineSerializer,
            **errors_of(400, 401, 403, 404, 413, 415),
        },
    )
    def post(self, request: Request) -> Response:
        """Register an engine of a model and try it at once: a request, whole and streamed, and whether it tells what it
        used. What is wrong, `reason` says. The same address again changes what differs. Needs `pools:write`.
        """
        asked = NewEngineSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        model = model_of(given.pop("model"))
        before = set(Replica.objects.filter(pool__model=model).values_list("pk", flat=True))
        replica = add_engine(model=model, address=given.pop("url"), by=self.operator(request), **given)
        return Response(OperatedEngineSerializer(replica).data, status=200 if replica.pk in before else 201)


class OperatedEngineView(OperatorApiView):
    """`/api/operator/engines/{id}`."""

    noun = "pools"

    @extend_schema(
        operation_id="operator_engines_read",
        summary="Read one engine",
        tags=["Operator"],
        responses={200: OperatedEngineSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, engine_id: int) -> Response:
        """Read one engine. Needs `pools:read`."""
        return Response(OperatedEngineSerializer(_engine(engine_id)).data)

    @extend_schema(
        operation_id="operator_engines_change",
        summary="Take an engine out of service, put it back, or bound its pool",
        tags=["Operator"],
        request=ServiceSerializer,
        responses={200: OperatedEngineSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def patch(self, request: Request, engine_id: int) -> Response:
        """Drain it, eject it or put it back; bound its pool. The same again changes nothing. Needs `pools:write`."""
        replica, by = _engine(engine_id), self.operator(request)
        asked = ServiceSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        if given.get("service", _service_of(replica)) != _service_of(replica):
            _ACTS[given["service"]](replica, by=by)
        if "requests_at_once" in given:
            places.set_requests_at_once(replica.pool, number=given["requests_at_once"] or None, by=by)
        return Response(OperatedEngineSerializer(_engine(engine_id)).data)

    @extend_schema(
        operation_id="operator_engines_delete",
        summary="Take an engine off the list",
        tags=["Operator"],
        responses={204: None, **errors_of(401, 403, 404, 409)},
    )
    def delete(self, request: Request, engine_id: int) -> Response:
        """Take it off the list; what it is answering it ends. 409 where the environment names it. Needs
        `pools:write`.
        """
        take_away(_engine(engine_id), by=self.operator(request))
        return Response(status=204)


def _engine(engine_id: int) -> Replica:
    found = Replica.objects.filter(pk=engine_id).select_related("pool__model").first()
    if found is None:
        raise NotFound("engine")
    return found


def _service_of(replica: Replica) -> str:
    return str(replica.state) if replica.state in OUT else "in"


_ACTS: dict[str, Callable[..., None]] = {"in": put_back, "draining": drain, "ejected": eject}
