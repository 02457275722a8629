from django.apps import AppConfig


class PoolsConfig(AppConfig):
    """Engines: pools of replicas that serve a model."""

    name = "gateway.pools"
    label = "pools"
