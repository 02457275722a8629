"""`manage.py confirm_domain`: e-mail addresses of a domain are a tenant's; its own provider may vouch for them."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from identity.audit import Actor
from identity.email_domains import confirm_domain
from identity.errors import Conflict, Invalid
from identity.models import Tenant


class Command(BaseCommand):
    """Run again, it changes nothing."""

    help = "Confirm that a domain of e-mail addresses is a tenant's."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument("domain", help="such as example.org; its subdomains are others")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError("there is no such tenant")
        try:
            confirm_domain(tenant, options["domain"], actor=Actor.system("confirm_domain"))
        except (Invalid, Conflict) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{options['domain']} is {tenant.name}'s.\n")
