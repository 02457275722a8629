"""Managed pools, for those who run the platform: how a replica is started, and how many there are."""

from dataclasses import asdict
from typing import Any

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.operator.models import model_of
from gateway.api.operator.nodes import LabelsField
from gateway.api.operator.view import OperatorApiView, page_of
from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, StrictMember, StrictSerializer, TextField, YesNoField
from gateway.pools.fleet.managed_pools import (
    GPUS_MAX,
    PRIORITY_MAX,
    READY_WITHIN_S,
    REPLICAS_MAX,
    ZERO_AFTER_S_LEAST,
    ZERO_AFTER_S_MOST,
    Count,
    Wish,
    configure_pool,
    manage_pool,
    scale_pool,
    wish_of,
)
from gateway.pools.fleet_tables import PoolConfiguration
from gateway.pools.models import Pool
from gateway.pools.places import MOST, set_requests_at_once
from identity.errors import NotFound

POOL = OpenApiParameter("name", str, "path", description="The pool's name.")
_POLICY = "`unmanaged`: engines are registered by hand; `manual`: `wanted` replicas are kept; `automatic`: demand says."


class WeightsSerializer(StrictMember):
    """Where a model's files come from."""

    source = serializers.ChoiceField(  # type: ignore[assignment]  # a field of ours, not the attribute
        choices=["path", "mirror", "hugging_face", "none"]
    )
    location = TextField(required=False, default="", allow_blank=True, max_length=300)
    revision = TextField(required=False, default="", allow_blank=True, max_length=100)
    bytes = serializers.IntegerField(required=False, default=0, min_value=0, max_value=2**53)
    sha256 = TextField(required=False, default="", allow_blank=True, max_length=64)


class WishSerializer(StrictMember):
    """How a replica is started."""

    engine = serializers.ChoiceField(choices=PoolConfiguration.Engine.values)
    gpus = serializers.IntegerField(min_value=0, max_value=GPUS_MAX, help_text="GPUs a replica, of one node.")
    gpu_memory_mb = serializers.IntegerField(
        min_value=0, max_value=2_000_000, help_text="MiB that it takes of each of them."
    )
    arguments = serializers.DictField(
        required=False, default=dict, child=serializers.JSONField(), help_text="The engine's, as `--name`: value."
    )
    trust_remote_code = YesNoField(
        required=False, default=False, help_text="Whether code that comes with the weights may run."
    )
    weights = WeightsSerializer()
    labels = LabelsField(required=False, default=dict, help_text="Those that its node must have.")
    ready_within_s = serializers.IntegerField(
        required=False,
        default=READY_WITHIN_S,
        min_value=10,
        max_value=21_600,
        help_text="Seconds that a start may take.",
    )
    may_sleep = YesNoField(
        required=False,
        default=False,
        help_text="Whether the last one sleeps (vLLM's sleep mode) where its pool goes to none.",
    )


class CountSerializer(StrictSerializer):
    """How many replicas there are to be, and who says so."""

    minimum = serializers.IntegerField(min_value=0, max_value=REPLICAS_MAX)
    maximum = serializers.IntegerField(min_value=0, max_value=REPLICAS_MAX)
    wanted = serializers.IntegerField(min_value=0, max_value=REPLICAS_MAX)
    priority = serializers.IntegerField(
        required=False,
        default=0,
        min_value=-PRIORITY_MAX,
        max_value=PRIORITY_MAX,
        help_text="Where GPUs are short, automatic pools of a higher one grow first.",
    )
    policy = serializers.ChoiceField(choices=Pool.Policy.values, help_text=_POLICY)
    requests_at_once = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=MOST,
        help_text="So many each replica is sent at once; 0: as many as come. Left out: as it is.",
    )
    zero_after_s = serializers.IntegerField(
        required=False,
        allow_null=True,
        default=None,
        min_value=ZERO_AFTER_S_LEAST,
        max_value=ZERO_AFTER_S_MOST,
        help_text="Without a request for so many seconds an automatic pool has no replica; null: it keeps one.",
    )


class NewPoolSerializer(CountSerializer):
    """A pool to be managed."""

    model = TextField(max_length=200, help_text="The id of the model that it serves.")
    served_name = TextField(
        required=False, allow_blank=True, max_length=200, help_text="What its engines call the model, if otherwise."
    )
    site = TextField(required=False, allow_blank=True, max_length=64)
    configuration = WishSerializer()


class OperatedPoolSerializer(serializers.Serializer[Any]):
    """A pool, and what is wanted of it."""

    name = serializers.CharField()
    model = serializers.CharField(source="model.name", help_text="The id of the model that it serves.")
    served_name = serializers.CharField()
    site = serializers.CharField()
    policy = serializers.ChoiceField(choices=Pool.Policy.values, help_text=_POLICY)
    minimum = serializers.IntegerField()
    maximum = serializers.IntegerField()
    wanted = serializers.IntegerField()
    priority = serializers.IntegerField()
    requests_at_once = serializers.IntegerField(
        allow_null=True, help_text="So many each replica is sent at once; null: as many as come."
    )
    zero_after_s = serializers.IntegerField(allow_null=True, help_text="Null: it keeps one replica at least.")
    asked_at = serializers.DateTimeField(
        allow_null=True, help_text="When somebody asked for it last, where it may have no replica."
    )
    is_stuck = serializers.BooleanField(help_text="It was asked, and nothing can be started now.")
    generation = serializers.IntegerField(help_text="Of the configuration; 0: it never was managed.")
    sound_generation = serializers.IntegerField(help_text="The last one of which a replica took requests.")
    configuration = serializers.SerializerMethodField()

    @extend_schema(responses=WishSerializer(allow_null=True))
    def get_configuration(self, pool: Pool) -> dict[str, Any] | None:
        """Null where it never was managed."""
        wish = wish_of(pool)
        return asdict(wish) if wish else None


class OperatedPoolPageSerializer(serializers.Serializer[Any]):
    """Pools, in the order in which they came."""

    results = OperatedPoolSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class OperatedPoolsView(OperatorApiView):
    """`/api/operator/pools`."""

    noun = "pools"

    @extend_schema(
        operation_id="operator_pools_list",
        summary="List pools and what is wanted of them",
        tags=["Operator"],
        parameters=[PageQuery],
        responses={200: OperatedPoolPageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List all pools, those included that nobody manages. Needs `pools:read`."""
        pools = Pool.objects.select_related("model").prefetch_related("configurations").order_by("pk")
        return page_of(request, pools, lambda page: OperatedPoolSerializer(page, many=True).data)

    @extend_schema(
        operation_id="operator_pools_manage",
        summary="Have a model's replicas kept running on nodes",
        tags=["Operator"],
        request=NewPoolSerializer,
        responses={200: OperatedPoolSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Manage the model's pool, made if there is none of that name and site. The same again changes nothing. Needs
        `pools:write`.
        """
        asked = NewPoolSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        model, by = model_of(given["model"]), self.operator(request)
        pool = manage_pool(
            model=model,
            served_name=given.get("served_name", ""),
            site=given.get("site", ""),
            wish=Wish(**given["configuration"]),
            count=count_of(given),
            policy=Pool.Policy(given["policy"]),
            requests_at_once=given.get("requests_at_once"),
            by=by,
        )
        return Response(OperatedPoolSerializer(pool_or_404(pool.name)).data)


class OperatedPoolView(OperatorApiView):
    """`/api/operator/pools/{name}`."""

    noun = "pools"

    @extend_schema(
        operation_id="operator_pools_read",
        summary="Read one pool",
        tags=["Operator"],
        parameters=[POOL],
        responses={200: OperatedPoolSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, name: str) -> Response:
        """Read one pool. Its replicas are among the engines. Needs `pools:read`."""
        return Response(OperatedPoolSerializer(pool_or_404(name)).data)

    @extend_schema(
        operation_id="operator_pools_scale",
        summary="Change how many replicas a pool has",
        tags=["Operator"],
        parameters=[POOL],
        request=CountSerializer,
        responses={200: OperatedPoolSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def put(self, request: Request, name: str) -> Response:
        """Say how many replicas there are to be; `unmanaged` takes those of the fleet away. Needs `pools:write`."""
        pool = pool_or_404(name)
        asked = CountSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given, by = asked.validated_data, self.operator(request)
        with transaction.atomic():  # the bound first: without one a pool may not follow its demand
            if "requests_at_once" in given:
                set_requests_at_once(pool, number=given["requests_at_once"] or None, by=by)
            scale_pool(pool, count_of(given), policy=Pool.Policy(given["policy"]), by=by)
        return Response(OperatedPoolSerializer(pool_or_404(name)).data)


class OperatedConfigurationView(OperatorApiView):
    """`/api/operator/pools/{name}/configuration`."""

    noun = "pools"

    @extend_schema(
        operation_id="operator_pools_configure",
        summary="Change how a pool's replicas are started",
        tags=["Operator"],
        parameters=[POOL],
        request=WishSerializer,
        responses={200: OperatedPoolSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def put(self, request: Request, name: str) -> Response:
        """Replicas get it one at a time, and the one before comes back where it fails. Needs `pools:write`."""
        pool = pool_or_404(name)
        asked = WishSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        configure_pool(pool, Wish(**asked.validated_data), by=self.operator(request))
        return Response(OperatedPoolSerializer(pool_or_404(name)).data)


def count_of(given: dict[str, Any]) -> Count:
    """What was asked for."""
    names = ("minimum", "maximum", "wanted", "priority", "zero_after_s")
    return Count(**{name: given[name] for name in names})


def pool_or_404(name: str) -> Pool:
    """The pool of that name. Raises `NotFound`."""
    found = Pool.objects.select_related("model").filter(name=name).first()
    if found is None:
        raise NotFound("pool")
    return found
