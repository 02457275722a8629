"""The Django app of the pages."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """Loads the Celery application with Django, so that `task.delay()` in any process finds the right broker."""

    name = "console"

    def ready(self) -> None:
        """Import for its effect: the first Celery application made becomes the default one."""
        import console.celery  # noqa: F401
