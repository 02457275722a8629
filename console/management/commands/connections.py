"""`manage.py connections`: every connection that this installation can make, for a firewall's rules and for scripts."""

import json
from argparse import ArgumentParser
from contextlib import suppress

from django.core.management.base import BaseCommand
from django.utils import translation

from console.connections import Connection, connections, places_of
from identity import oidc_discovery
from identity.models import ProviderVersion

_LOOK_UP_SECONDS = 10.0


class Command(BaseCommand):
    """Asks the identity providers for their metadata, which may name further hosts."""

    help = "List every connection that this installation can make: what for, where to, inside or outside the house."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON list, for scripts")

    def handle(self, *args: object, **options: object) -> None:
        for issuer in ProviderVersion.objects.exclude(state=ProviderVersion.State.OFF).values_list("issuer", flat=True):
            with suppress(oidc_discovery.ProviderTrouble):
                oidc_discovery.discover(issuer)
        lines = connections()
        places = places_of(lines, seconds=_LOOK_UP_SECONDS)
        with translation.override("en"):
            rows = [_row(line, host, port, places[host]) for line, host, port in _destinations(lines)]
        if options["json"]:
            self.stdout.write(json.dumps(rows))
            return
        for row in rows:
            place = f"{row['host']}:{row['port']}" if row["port"] else str(row["host"])
            self.stdout.write(f"{row['kind']:<15} {place:<45} {row['place']:<8} {row['made_by']}\n")
        self.stdout.write("Nothing else: no telemetry.\n")


def _destinations(lines: list[Connection]) -> list[tuple[Connection, str, int]]:
    return [(line, one.host, one.port) for line in lines for one in line.destinations]


def _row(line: Connection, host: str, port: int, place: str) -> dict[str, str | int]:
    told: dict[str, str | int] = {"kind": line.kind, "host": host, "port": port, "place": str(place)}
    return told | {"purpose": str(line.purpose), "made_by": str(line.made_by), "set_by": str(line.set_by)}
