"""People of the demo's first organisation and their one-time sign-in links; made beside a running installation."""

import json
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from console.demo import OPERATORS, TENANTS, DemoPerson, demo_person
from identity.access import Caller
from identity.audit import Actor
from identity.members import add_member
from identity.models import Membership, Role, Tenant
from identity.sign_in_links import make_link

AUDITOR = DemoPerson("nadia@valbourg.example", "Nadia Haddad", Role.AUDITOR)
NEWCOMER = DemoPerson("gael@valbourg.example", "Gaël Le Roux", Role.DEVELOPER)
_MORE = {"auditor": AUDITOR, "newcomer": NEWCOMER, **OPERATORS}


def make(file: str) -> None:
    """Write {who: the secret of a link} to the file."""
    tenant = Tenant.objects.get(slug=TENANTS[0].slug)
    secrets = {}
    for who, demo in (TENANTS[0].people | _MORE).items():
        person = demo_person(demo)
        if demo.role is not None and not Membership.objects.filter(tenant=tenant, person=person).exists():
            add_member(by=Caller.system("journeys", tenant), person=person, role=demo.role)
        secrets[who] = make_link(person, timedelta(hours=1), actor=Actor.system("journeys"), now=timezone.now())
    Path(file).write_text(json.dumps(secrets))
