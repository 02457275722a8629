from django.apps import AppConfig


class ModelsCatalogConfig(AppConfig):
    """What is served, to whom, for how long: models, lifecycle, status."""

    name = "models_catalog"
