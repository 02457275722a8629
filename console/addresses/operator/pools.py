"""The addresses of the operator's pools and nodes."""

from django.urls import URLPattern, path

from console.views.operator import managed_pools, nodes
from console.views.operator.pools import engines, pools

_NODE, _POOL = "pools/nodes/<slug:name>", "pools/managed/<slug:name>"

urlpatterns: list[URLPattern] = [
    path("pools", pools, name="operator-pools"),
    path("pools/engines", engines, name="operator-engines"),
    path("pools/nodes", nodes.nodes, name="operator-nodes"),
    path("pools/add-node", nodes.add, name="operator-node-add"),
    path(_NODE, nodes.node, name="operator-node"),
    path(f"{_NODE}/labels", nodes.labels, name="operator-node-labels"),
    path(f"{_NODE}/<str:act>", nodes.change, name="operator-node-change"),
    path(_POOL, managed_pools.pool, name="operator-managed-pool"),
    path(f"{_POOL}/demand", managed_pools.demand, name="operator-managed-pool-demand"),
    path(f"{_POOL}/logs", managed_pools.logs, name="operator-managed-pool-logs"),
    path(f"{_POOL}/logs/<int:log_id>", managed_pools.log, name="operator-managed-pool-log"),
    path(f"{_POOL}/scale", managed_pools.scale, name="operator-managed-pool-scale"),
    path(f"{_POOL}/configure", managed_pools.configure, name="operator-managed-pool-configure"),
    path("models/<int:model_id>/nodes", managed_pools.manage, name="operator-model-manage"),
]
