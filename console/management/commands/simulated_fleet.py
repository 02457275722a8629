"""`manage.py simulated_fleet prepare|wait|retire [MODEL ...]`: the simulated nodes of `make up`."""

from argparse import ArgumentParser

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from console.simulated_fleet import prepare, retire, wait_until_ready
from console.supervisor.home import Home
from gateway.node_agent.joining import JoinError
from gateway.pools.fleet.broker import BrokerUnfit
from identity.errors import Conflict
from identity.secret_box import SecretBoxError

WAIT_SECONDS = 120.0  # ten seconds on an idle machine


class Command(BaseCommand):
    help = "Make the simulated nodes and their pools, wait until they serve, or take them away."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("act", choices=["prepare", "wait", "retire"])
        parser.add_argument("models", nargs="*", metavar="MODEL")
        parser.add_argument("--since", type=float, default=0, help="when the agents were started (Unix time)")

    def handle(self, *args: object, act: str, models: list[str], since: float, **options: object) -> None:
        if act == "prepare":
            self._prepare(models)
        elif act == "retire":
            retire()
        elif not wait_until_ready(models, since=since, seconds=WAIT_SECONDS):
            raise CommandError("Not every model is served yet. The page Pools of the operator's console says why.")

    def _prepare(self, models: list[str]) -> None:
        try:
            prepare(models, Home(settings.HOME).nodes)
        except (BrokerUnfit, Conflict, JoinError, SecretBoxError) as error:
            raise CommandError(str(error)) from None
