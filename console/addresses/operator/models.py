"""Addresses of the operator's models."""

from django.urls import URLPattern, path

from console.views.operator import model_adding, models, replicas

urlpatterns: list[URLPattern] = [
    path("models", models.models, name="operator-models"),
    path("models/add", model_adding.add_model, name="operator-model-add"),
    path("models/<int:model_id>", models.model, name="operator-model"),
    path("models/<int:model_id>/price", models.price, name="operator-model-price"),
    path("models/<int:model_id>/entry", models.entry, name="operator-model-entry"),
    path("models/<int:model_id>/targets", models.targets, name="operator-model-targets"),
    path("models/<int:model_id>/visibility", models.visibility, name="operator-model-visibility"),
    path("models/<int:model_id>/end", models.end, name="operator-model-end"),
    path("models/<int:model_id>/engines", replicas.add_replica, name="operator-replica-add"),
    path("models/<int:model_id>/pools/<int:pool_id>", replicas.change_pool, name="operator-pool"),
    path("models/<int:model_id>/engines/<int:replica_id>/<str:act>", replicas.change_replica, name="operator-replica"),
]
