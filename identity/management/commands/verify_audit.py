"""`manage.py verify_audit`: recomputes the audit chains, or one that was exported."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from identity import audit_verifier
from identity.audit_signing import public_keys
from identity.audit_trail import verify_and_keep
from identity.models import Tenant


class Command(BaseCommand):
    """One line a chain; fails where one does not hold."""

    help = (
        "Recompute the audit chain of every tenant and of the platform, with names and signed checkpoints, and name the"
        " first broken link of each. With --file, verify an export instead; identity/audit_verifier.py does the same on"
        " a machine that has neither Django nor the database."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """`--tenant` and `--public-key` may be repeated."""
        parser.add_argument("--tenant", action="append", metavar="SLUG", help="only this tenant's chain")
        parser.add_argument("--file", type=Path, metavar="JSONL", help="an export")
        parser.add_argument(
            "--public-key", action="append", metavar="HEX", help="who may have signed it (default: this installation)"
        )
        parser.add_argument("--checkpoints", metavar="FILE", help="checkpoints that were kept elsewhere")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError (exit status 1) when a chain is broken or a tenant is missing."""
        if options["file"]:
            self._verify_file(options)
            return
        broken = [name for name, tenant in _chains(options["tenant"]) if not self._verify(name, tenant)]
        if broken:
            raise CommandError(f"broken: {', '.join(broken)}")

    def _verify_file(self, options: dict[str, Any]) -> None:
        verifier = audit_verifier.ChainVerifier(trusted=frozenset(options["public_key"] or public_keys()))
        try:
            if options["checkpoints"]:
                with Path(options["checkpoints"]).open(encoding="utf-8") as file:
                    verifier.kept = audit_verifier.kept_checkpoints(file)
            with options["file"].open(encoding="utf-8") as file:
                audit_verifier.verify_export(file, verifier)
        except OSError as error:
            raise CommandError(f"Cannot read {error.filename}: {error.strerror}") from None
        told = audit_verifier.told(verifier, has_keys=True).rstrip("\n")
        if verifier.flaw:
            raise CommandError(told)
        self.stdout.write(told)

    def _verify(self, name: str, tenant: Tenant | None) -> bool:
        found = verify_and_keep(tenant)
        if found.broken_sequence is not None:
            self.stdout.write(f"{name}: link {found.broken_sequence} {found.reason}")
            return False
        self.stdout.write(f"{name}: {found.links} links hold")
        return True


def _chains(slugs: list[str] | None) -> list[tuple[str, Tenant | None]]:
    if slugs is None:
        return [("platform", None), *((tenant.slug, tenant) for tenant in Tenant.objects.order_by("slug"))]
    tenants = {tenant.slug: tenant for tenant in Tenant.objects.filter(slug__in=slugs)}
    missing = [slug for slug in slugs if slug not in tenants]
    if missing:
        raise CommandError(f"no such tenant: {', '.join(missing)}")
    return [(slug, tenants[slug]) for slug in slugs]
