"""The fleet, for those who run the platform: demand against capacity, what would fit, what happened."""

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.operator.pools import POOL, CountSerializer, WishSerializer, count_of, pool_or_404
from gateway.api.operator.view import OperatorApiView, page_of
from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, parameters
from gateway.pools.fleet.managed_pools import Wish, dry_run
from gateway.pools.fleet.overview import pool_overview
from gateway.pools.fleet.placement import Obstacle
from gateway.pools.fleet.previews import fit_of, fit_of_count
from gateway.pools.fleet.start_logs import log_or_404
from gateway.pools.fleet.work import work_of
from gateway.pools.fleet_tables import EngineLog, FleetEvent
from gateway.pools.models import Pool
from identity.errors import NotFound


class FitSerializer(serializers.Serializer[Any]):
    """Where one more replica would find a place now."""

    nodes = serializers.ListField(child=serializers.CharField(), help_text="Those with room.")
    obstacles = serializers.DictField(
        child=serializers.ChoiceField(choices=[one.value for one in Obstacle]), help_text="By node, what is in the way."
    )


class CountFitSerializer(serializers.Serializer[Any]):
    """What so many replicas would mean now."""

    wanted = serializers.IntegerField(help_text="Where the demand says how many: the most that it may ask for.")
    begin = serializers.DictField(child=serializers.IntegerField(), help_text="By node, how many would begin there.")
    end = serializers.IntegerField(help_text="How many would end.")
    missing = serializers.IntegerField(help_text="How many would have no place.")
    obstacles = serializers.DictField(
        child=serializers.ChoiceField(choices=[one.value for one in Obstacle]),
        help_text="By node, what would be in the way, where some have no place.",
    )


class SetbackSerializer(serializers.Serializer[Any]):
    """Replicas of a configuration that failed in a row on a node."""

    node = serializers.CharField(source="row.node.name")
    failures = serializers.IntegerField(source="row.failures")
    reason = serializers.CharField(source="row.reason")
    again_at = serializers.DateTimeField(allow_null=True, help_text="Not tried there before; null: it may be at once.")


class DemandSerializer(serializers.Serializer[Any]):
    """What a pool has to do, what it can, and how many replicas it would get now."""

    running = serializers.IntegerField(help_text="Requests under way at its engines, as last reported.")
    waiting = serializers.IntegerField(help_text="Requests that wait in its engines.")
    places = serializers.IntegerField(
        allow_null=True, help_text="What its ready replicas take at once; null: as many as come."
    )
    ready = serializers.IntegerField(help_text="Replicas that take requests.")
    missing = serializers.IntegerField(help_text="Replicas that have no place now.")
    obstacles = serializers.DictField(
        child=serializers.ChoiceField(choices=[one.value for one in Obstacle]),
        help_text="By node, what is in the way, where some have no place.",
    )
    setbacks = SetbackSerializer(many=True)

    wanted = serializers.IntegerField(help_text="What its demand asks for, or a person where the policy is `manual`.")
    granted = serializers.IntegerField(help_text="What there is room for beside the other pools.")
    reason = serializers.CharField()
    until = serializers.DateTimeField(
        allow_null=True, help_text="So long the demand of before keeps them; null: it is not only the past."
    )
    held = serializers.IntegerField(help_text="Requests that wait in the gateways for a place at an engine.")
    asked_at = serializers.DateTimeField(
        allow_null=True, help_text="When somebody asked for it last, where it may have no replica."
    )
    is_stuck = serializers.BooleanField(help_text="It was asked, and nothing can be started now.")


class FleetEventSerializer(serializers.Serializer[Any]):
    """Something that happened. All by name, as events outlive what they tell of."""

    at = serializers.DateTimeField()
    began_at = serializers.DateTimeField(allow_null=True, help_text="When the state began that ended here.")
    kind = serializers.CharField()
    pool = serializers.CharField()
    model = serializers.CharField(help_text="Of a node's event, all those that have a replica there.")
    replica = serializers.CharField()
    node = serializers.CharField()
    from_state = serializers.CharField()
    to_state = serializers.CharField()
    reason = serializers.CharField()


class FleetEventPageSerializer(serializers.Serializer[Any]):
    """Events, in the order in which they happened."""

    results = FleetEventSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class EngineLogSerializer(serializers.Serializer[Any]):
    """What an engine printed until it was ready, or failed."""

    id = serializers.IntegerField(source="pk")
    replica = serializers.CharField()
    node = serializers.CharField()
    at = serializers.DateTimeField(help_text="When it was heard of last.")


class EngineLogPageSerializer(serializers.Serializer[Any]):
    """Logs, in the order in which the replicas began."""

    results = EngineLogSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class ReadEngineLogSerializer(EngineLogSerializer):
    """One with its text."""

    text = serializers.CharField(help_text="Its last lines, 200 at the most.")


class EventQuery(PageQuery):
    """Of what."""

    pool = serializers.CharField(required=False, max_length=100, help_text="The name of a pool.")
    node = serializers.CharField(required=False, max_length=63, help_text="The name of a node.")


class OperatedDemandView(OperatorApiView):
    """`/api/operator/pools/{name}/demand`."""

    noun = "pools"

    @extend_schema(
        operation_id="operator_pools_demand",
        summary="See how many replicas the demand asks for, and why",
        tags=["Operator"],
        parameters=[POOL],
        responses={200: DemandSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, name: str) -> Response:
        """What the next step would do; nothing is changed. 404 for a pool that nobody manages. Needs `pools:read`."""
        pool = pool_or_404(name)
        advice, one = dry_run(pool, by=self.operator(request)), pool_overview(name)
        if advice is None or one is None:
            raise NotFound("pool")
        work = work_of(one.replicas)
        told = {
            **{field: getattr(work, field) for field in ("running", "waiting", "places")},
            **{field: getattr(one, field) for field in ("ready", "missing", "obstacles", "setbacks")},
            "wanted": advice.wish.replicas,
            "granted": advice.granted,
            "reason": advice.reason,
            "until": _moment(advice.wish.until),
            "held": one.held,
            "asked_at": pool.asked_at,
            "is_stuck": pool.is_stuck,
        }
        return Response(DemandSerializer(told).data)


class OperatedFitView(OperatorApiView):
    """`/api/operator/pool-fits`."""

    noun = "pools"

    @extend_schema(
        operation_id="operator_pools_fit",
        summary="See where a replica would find a place",
        tags=["Operator"],
        request=WishSerializer,
        responses={200: FitSerializer, **errors_of(400, 401, 403, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Of a configuration that is only thought of, beside all that runs now. Needs `pools:write`."""
        asked = WishSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(FitSerializer(fit_of(Wish(**asked.validated_data))).data)


class OperatedCountFitView(OperatorApiView):
    """`/api/operator/pools/{name}/fit`."""

    noun = "pools"

    @extend_schema(
        operation_id="operator_pools_fit_count",
        summary="See what another number of replicas would mean",
        tags=["Operator"],
        parameters=[POOL],
        request=CountSerializer,
        responses={200: CountFitSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def post(self, request: Request, name: str) -> Response:
        """Beside all that runs now; nothing is changed. 404 for a pool that never was managed. Needs `pools:write`."""
        pool = pool_or_404(name)
        if not pool.generation:
            raise NotFound("pool")
        asked = CountSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        fit = fit_of_count(pool, count_of(given), policy=Pool.Policy(given["policy"]))
        return Response(CountFitSerializer(fit).data)


class OperatedEngineLogsView(OperatorApiView):
    """`/api/operator/pools/{name}/logs`."""

    noun = "pools"

    @extend_schema(
        operation_id="operator_engine_logs_list",
        summary="List the logs of a pool's engines",
        tags=["Operator"],
        parameters=[POOL, PageQuery],
        responses={200: EngineLogPageSerializer, **errors_of(400, 401, 403, 404)},
    )
    def get(self, request: Request, name: str) -> Response:
        """Of the last week. What engines print once requests reach them stays on their nodes. Needs `pools:read`."""
        logs = EngineLog.objects.filter(pool=pool_or_404(name).name).defer("text").order_by("pk")
        return page_of(request, logs, lambda page: EngineLogSerializer(page, many=True).data)


class OperatedEngineLogView(OperatorApiView):
    """`/api/operator/pools/{name}/logs/{log_id}`."""

    noun = "pools"

    @extend_schema(
        operation_id="operator_engine_logs_read",
        summary="Read the log of an engine's start",
        tags=["Operator"],
        parameters=[POOL, OpenApiParameter("log_id", int, "path", description="The log's id.")],
        responses={200: ReadEngineLogSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, name: str, log_id: int) -> Response:
        """Read the last lines that it printed until it was ready, or failed. Needs `pools:read`."""
        return Response(ReadEngineLogSerializer(log_or_404(pool_or_404(name), log_id)).data)


class OperatedFleetEventsView(OperatorApiView):
    """`/api/operator/fleet-events`."""

    noun = "pools"

    @extend_schema(
        operation_id="operator_fleet_events_list",
        summary="List what happened to replicas, pools and nodes",
        tags=["Operator"],
        parameters=[EventQuery],
        responses={200: FleetEventPageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the events of the last 90 days. Needs `pools:read`."""
        given = parameters(EventQuery, request)
        asked = {name: given[name] for name in ("pool", "node") if name in given}
        return page_of(request, FleetEvent.objects.filter(**asked).order_by("pk"), _shown_events, query=EventQuery)


def _moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None


def _shown_events(page: list[FleetEvent]) -> Any:
    return FleetEventSerializer(page, many=True).data
