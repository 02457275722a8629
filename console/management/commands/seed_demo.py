"""`manage.py seed_demo`: the demo's organisations, people and key. Prints one JSON object for `make up`."""

import json
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from console import env
from console.demo import OPERATORS, demo_models, seed_demo, sign_in_secrets
from console.demo_month import ask_to_close
from console.demo_past import has_past
from console.operator_site import sign_in_link
from identity.errors import NotFound


class Command(BaseCommand):
    """Prints {"api_key": text or "", "login_urls": {role: url}, "models": {kind: id}, "has_past": bool}."""

    help = "Make the demo organisations, people and key (only what is missing) and print how to use them, as JSON."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--base-url", required=True, help="the address that people reach this installation at")
        parser.add_argument(
            "--new-key", action="store_true", help="replace the demo key: its text is not known any more"
        )

    def handle(self, *args: object, base_url: str, new_key: bool, **options: object) -> None:
        tier = env.text("BEFFROI_DEMO_TIER", "standard")
        try:
            api_key = seed_demo(tier=tier, new_key=new_key)
        except NotFound as error:
            raise CommandError(f"BEFFROI_DEMO_TIER={tier}: {error}") from None
        ask_to_close()
        given = [
            engine.partition("=")[0].strip() for engine in env.text("BEFFROI_ENGINES", "").split(",") if "=" in engine
        ]
        links = {
            role: sign_in_link(base_url, secret, of_operators=role in OPERATORS)
            for role, secret in sign_in_secrets().items()
        }
        content = {"api_key": api_key, "login_urls": links, "models": demo_models(given), "has_past": has_past()}
        self.stdout.write(json.dumps(content))
