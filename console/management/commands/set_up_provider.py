"""`manage.py set_up_provider`: the operators' identity provider, or the one that all client tenants share."""

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from console import env
from console.sign_in.flows import redirect_uri
from identity import group_rules, providers
from identity.audit import Actor
from identity.errors import Invalid
from identity.models import IdentityProvider, OperatorRole, ProviderVersion
from identity.provider_check import check_connection, is_good

ACTOR = Actor.system("set_up_provider")
SECRETS = {"operators": "BEFFROI_OPERATORS_CLIENT_SECRET", "shared": "BEFFROI_SHARED_CLIENT_SECRET"}


class Command(BaseCommand):
    """Run again with the same, it changes nothing. The client's secret comes from the environment (or a file named
    there), as arguments can be read by everybody on the machine.
    """

    help = f"Set an identity provider up. The client's secret is in {' or '.join(SECRETS.values())} (or ..._FILE)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("audience", choices=list(SECRETS), help="whose sign-in it is")
        parser.add_argument("--issuer", required=True, help="its address, as its metadata says it")
        parser.add_argument("--client-id", required=True, help="what Beffroi is called there")
        parser.add_argument("--name", default="", help="what the sign-in page calls it")
        parser.add_argument("--groups-claim", default="groups", help="the claim that lists a person's groups")
        parser.add_argument("--require-acr", action="append", default=[], help="one of these classes (repeat)")
        parser.add_argument("--require-amr", action="append", default=[], help="all of these methods, such as mfa")
        roles = ", ".join(OperatorRole.values)
        parser.add_argument(
            "--operators-group",
            action="append",
            default=[],
            metavar="ROLE=GROUP",
            help=f"members of the group are operators of this role ({roles}); none: who was appointed",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        audience = IdentityProvider.Audience(options["audience"])
        groups = _groups(options["operators_group"])
        settings = providers.ProviderSettings(
            issuer=options["issuer"],
            client_id=options["client_id"],
            client_secret=env.secret_in(os.environ, SECRETS[audience]),
            groups_claim=options["groups_claim"],
            required_acr=tuple(options["require_acr"]),
            required_amr=tuple(options["require_amr"]),
        )
        try:
            changed = providers.set_provider(
                audience=audience,
                name=options["name"] or audience.label.capitalize(),
                settings=settings,
                actor=ACTOR,
                now=timezone.now(),
            )
            version = providers.version_by_handle(audience.value)
            assert version is not None
            if audience == IdentityProvider.Audience.OPERATORS:
                changed |= group_rules.set_operator_groups(version.provider, groups, actor=ACTOR)
        except Invalid as error:
            raise CommandError(f"{error}{_hint(error, audience)}") from error
        self.stdout.write("Set up.\n" if changed else "It was so before; nothing changed.\n")
        self._tell(version)

    def _tell(self, version: ProviderVersion) -> None:
        back = redirect_uri(version.provider)
        findings = check_connection(version, redirect_uri=back)
        for finding in findings:
            self.stdout.write(f"  {finding.outcome:<5} {finding.detail}\n")
        self.stdout.write(f"\nRegister these with it:\n  redirect URI             {back}\n")
        self.stdout.write(f"  back-channel logout URI  {back.removesuffix('callback')}logout\n")
        self.stdout.write(f"  after sign-out           {back.partition('/oidc/')[0]}/signed-out\n")
        if not is_good(findings):
            raise CommandError("People cannot sign in through it yet: see what is marked “bad”.")


def _hint(error: Invalid, audience: IdentityProvider.Audience) -> str:
    """Where what is wrong is set, if not in the arguments."""
    if error.field == "client_secret":
        return f" in {SECRETS[audience]}, or in the file that {SECRETS[audience]}_FILE names"
    if error.field == "issuer":
        return "; without TLS only where BEFFROI_PRIVATE_PROVIDER_HOSTS lists its host"
    return ""


def _groups(pairs: list[str]) -> dict[str, OperatorRole]:
    found = {}
    for pair in pairs:
        role, _, group = pair.partition("=")
        if role not in OperatorRole.values or not group:
            raise CommandError(f"--operators-group {pair!r} must be ROLE=GROUP, with one of {OperatorRole.values}.")
        found[group] = OperatorRole(role)
    return found
