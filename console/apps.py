"""The Django app of the pages."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """Loads what Django only finds when told."""

    name = "console"

    def ready(self) -> None:
        """Imports for their effect: `task.delay()` in any process then finds our broker, and our checks are run."""
        import console.celery
        import console.checks  # noqa: F401
