"""`manage.py verify_audit`: recomputes the audit chains."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from identity.audit import verify_chain
from identity.models import Tenant


class Command(BaseCommand):
    """One line a chain; fails where one does not hold."""

    help = "Recompute the audit chain of every tenant and of the platform, and name the first broken link of each."

    def add_arguments(self, parser: CommandParser) -> None:
        """`--tenant` may be repeated."""
        parser.add_argument("--tenant", action="append", metavar="SLUG", help="only this tenant's chain")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError (exit status 1) when a chain is broken or a tenant is missing."""
        broken = [name for name, tenant in _chains(options["tenant"]) if not self._verify(name, tenant)]
        if broken:
            raise CommandError(f"broken: {', '.join(broken)}")

    def _verify(self, name: str, tenant: Tenant | None) -> bool:
        verdict = verify_chain(tenant)
        if verdict.broken:
            self.stdout.write(f"{name}: link {verdict.broken.sequence} {verdict.broken.reason}")
            return False
        self.stdout.write(f"{name}: {verdict.links} links hold, the last is {verdict.hash.hex()}")
        return True


def _chains(slugs: list[str] | None) -> list[tuple[str, Tenant | None]]:
    if slugs is None:
        return [("platform", None), *((tenant.slug, tenant) for tenant in Tenant.objects.order_by("slug"))]
    tenants = {tenant.slug: tenant for tenant in Tenant.objects.filter(slug__in=slugs)}
    missing = [slug for slug in slugs if slug not in tenants]
    if missing:
        raise CommandError(f"no such tenant: {', '.join(missing)}")
    return [(slug, tenants[slug]) for slug in slugs]
