"""`manage.py set_up`: the way into an empty installation. Prints one JSON object for `make up`, as `seed_demo` does."""

import json
from argparse import ArgumentParser

from django.core.management.base import BaseCommand

from console.first_operator import set_up_secret
from console.operator_site import sign_in_link


class Command(BaseCommand):
    """Prints {"api_key": "", "login_urls": {"operator": url} or {}, "models": {}}."""

    help = "Print the first operator's set-up link, as JSON; none once there is an operators' provider or break-glass."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--base-url", required=True, help="the address that people reach this installation at")

    def handle(self, *args: object, base_url: str, **options: object) -> None:
        secret = set_up_secret()
        links = {"operator": sign_in_link(base_url, secret, of_operators=True)} if secret else {}
        self.stdout.write(json.dumps({"api_key": "", "login_urls": links, "models": {}}))
