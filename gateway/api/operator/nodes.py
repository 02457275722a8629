"""Nodes, for those who run the platform: added, labelled, cordoned, drained, removed; by name."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.operator.view import OperatorApiView, page_of
from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, StrictSerializer, TextField
from gateway.pools.fleet.nodes import add_node, label_node, node_or_404, remove_node, renew_token, set_service
from gateway.pools.fleet.overview import machine_of
from gateway.pools.fleet_tables import Node

NODE = OpenApiParameter("name", str, "path", description="The node's name.")
_SERVICE = "`in`; `cordoned`: it gets no new replica; `draining`: those that it has go elsewhere, then."


class OperatedGpuSerializer(serializers.Serializer[Any]):
    """A GPU as its node reports it, memory in MiB."""

    index = serializers.IntegerField()
    name = serializers.CharField()
    memory_mb = serializers.IntegerField()
    used_mb = serializers.IntegerField(help_text="By whatever runs there.")


class ModelOnDiskSerializer(serializers.Serializer[Any]):
    """Weights that a machine has already."""

    location = serializers.CharField()
    revision = serializers.CharField()
    bytes = serializers.IntegerField()


class MachineSerializer(serializers.Serializer[Any]):
    """What a node's agent says of its machine and of itself."""

    agent_version = serializers.CharField()
    is_simulated = serializers.BooleanField()
    cpus = serializers.IntegerField()
    memory_bytes = serializers.IntegerField()
    disk_free_bytes = serializers.IntegerField()
    disk_total_bytes = serializers.IntegerField()
    models_on_disk = ModelOnDiskSerializer(many=True)


class OperatedNodeSerializer(serializers.Serializer[Any]):
    """A GPU machine."""

    name = serializers.CharField()
    labels = serializers.DictField(
        child=serializers.CharField(), help_text="Given here; they win over those that its agent reports."
    )
    service = serializers.ChoiceField(choices=Node.Service.values, help_text=_SERVICE)
    joined_at = serializers.DateTimeField(allow_null=True, help_text="null: no machine took its token yet.")
    reported_at = serializers.DateTimeField(allow_null=True, help_text="When its agent was last heard.")
    address = serializers.SerializerMethodField(help_text="Where its engines listen; empty: it never reported.")
    machine = serializers.SerializerMethodField(help_text="Empty figures: it never reported.")
    gpus = serializers.SerializerMethodField()

    @extend_schema(responses=MachineSerializer)
    def get_machine(self, node: Node) -> dict[str, Any]:
        """As reported."""
        return machine_of(node)

    def get_address(self, node: Node) -> str:
        """As reported."""
        return str(node.observed.get("address", ""))

    @extend_schema(responses=OperatedGpuSerializer(many=True))
    def get_gpus(self, node: Node) -> list[dict[str, Any]]:
        """As reported."""
        return [dict(OperatedGpuSerializer(gpu).data) for gpu in node.observed.get("gpus", [])]


class OperatedNodePageSerializer(serializers.Serializer[Any]):
    """Nodes, in the order in which they came."""

    results = OperatedNodeSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class TokenSerializer(serializers.Serializer[Any]):
    """What a machine joins with, once and within a day."""

    token = serializers.CharField(help_text="Shown here and never again.")


class AddedNodeSerializer(OperatedNodeSerializer):
    """A new node, with what a machine becomes it with."""

    token = serializers.CharField(help_text="A machine joins with it, once and within a day. Never shown again.")


class LabelsField(serializers.DictField):
    """Name -> value."""

    child = TextField(max_length=63)


class NewNodeSerializer(StrictSerializer):
    """A node to be added."""

    name = TextField(max_length=63, help_text="Small letters, digits and hyphens.")
    labels = LabelsField(required=False, default=dict, help_text="What placement may ask for.")


class NodeChangeSerializer(StrictSerializer):
    """What is to be different."""

    labels = LabelsField(required=False)
    service = serializers.ChoiceField(required=False, choices=Node.Service.values, help_text=_SERVICE)


class OperatedNodesView(OperatorApiView):
    """`/api/operator/nodes`."""

    noun = "pools"

    @extend_schema(
        operation_id="operator_nodes_list",
        summary="List nodes with their GPUs",
        tags=["Operator"],
        parameters=[PageQuery],
        responses={200: OperatedNodePageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List all nodes. Needs `pools:read`."""
        return page_of(request, Node.objects.order_by("pk"), lambda page: OperatedNodeSerializer(page, many=True).data)

    @extend_schema(
        operation_id="operator_nodes_add",
        summary="Add a node",
        tags=["Operator"],
        request=NewNodeSerializer,
        responses={201: AddedNodeSerializer, **errors_of(400, 401, 403, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Add a node and get the token that a machine joins with. 409 where the name is taken. Needs `pools:write`."""
        asked = NewNodeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        node, token = add_node(**asked.validated_data, by=self.operator(request))
        shown = {**OperatedNodeSerializer(node).data, "token": token}
        return Response(shown, status=201, headers={"Cache-Control": "no-store"})


class OperatedNodeView(OperatorApiView):
    """`/api/operator/nodes/{name}`."""

    noun = "pools"

    @extend_schema(
        operation_id="operator_nodes_read",
        summary="Read one node",
        tags=["Operator"],
        parameters=[NODE],
        responses={200: OperatedNodeSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, name: str) -> Response:
        """Read one node. Needs `pools:read`."""
        return Response(OperatedNodeSerializer(node_or_404(name)).data)

    @extend_schema(
        operation_id="operator_nodes_change",
        summary="Label, cordon or drain a node",
        tags=["Operator"],
        parameters=[NODE],
        request=NodeChangeSerializer,
        responses={200: OperatedNodeSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def patch(self, request: Request, name: str) -> Response:
        """Change its labels or whether it is in service. The same again changes nothing. Needs `pools:write`."""
        node, by = node_or_404(name), self.operator(request)
        asked = NodeChangeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        if "labels" in given:
            label_node(node, labels=given["labels"], by=by)
        if "service" in given:
            set_service(node, Node.Service(given["service"]), by=by)
        return Response(OperatedNodeSerializer(node_or_404(name)).data)

    @extend_schema(
        operation_id="operator_nodes_remove",
        summary="Remove a node",
        tags=["Operator"],
        parameters=[NODE],
        responses={204: None, **errors_of(401, 403, 404, 409)},
    )
    def delete(self, request: Request, name: str) -> Response:
        """Take it off the list. 409 while it has replicas: drain it first. Needs `pools:write`."""
        remove_node(node_or_404(name), by=self.operator(request))
        return Response(status=204)


class OperatedNodeTokenView(OperatorApiView):
    """`/api/operator/nodes/{name}/token`."""

    noun = "pools"

    @extend_schema(
        operation_id="operator_nodes_renew_token",
        summary="Make another token for a node",
        tags=["Operator"],
        parameters=[NODE],
        request=None,
        responses={200: TokenSerializer, **errors_of(401, 403, 404)},
    )
    def post(self, request: Request, name: str) -> Response:
        """For a machine that takes the node's place; the one of now goes on until then. Needs `pools:write`."""
        token = renew_token(node_or_404(name), by=self.operator(request))
        return Response({"token": token}, headers={"Cache-Control": "no-store"})
