"""Keys, most of which something forbids; made beside a running installation by `manage.py shell`."""

import json
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from billing.limits.budgets import set_budget
from billing.limits.limits import set_limit
from billing.models import Budget, Limit
from identity.access import Caller
from identity.api_keys import mint_api_key, revoke_api_key
from identity.audit import Actor
from identity.key_policy import KeyPolicy
from identity.models import ApiKey, Project
from identity.scopes import Scope

ACTOR = Actor.system("journeys")
INFERENCE = frozenset({Scope.INFERENCE})


def _mint(name: str, policy: KeyPolicy, tenant: str = "valbourg") -> tuple[ApiKey, str]:
    project = Project.objects.get(tenant__slug=tenant, name="Default")
    return mint_api_key(maker=Caller.system("journeys", project.tenant), project=project, name=name, policy=policy)


def make(file: str) -> None:
    """Write {what is wrong with it: the key's text} to the file."""
    texts = {}
    free = KeyPolicy(INFERENCE)
    for name, policy in {
        "revoked": free,
        "expired": KeyPolicy(INFERENCE, expires_at=timezone.now() + timedelta(seconds=1)),
        "cannot_infer": KeyPolicy(frozenset({Scope.USAGE_READ_TENANT})),
        "only_embeddings": KeyPolicy(INFERENCE, allowed_models=("bge-m3:567m",)),
        "from_elsewhere": KeyPolicy(INFERENCE, ip_ranges=("192.0.2.0/24",)),
        "poor": free,
        "one_an_hour": free,
        "one_at_once": free,
        "manager": KeyPolicy(frozenset(Scope)),
        "stranger": KeyPolicy(frozenset(Scope)),
    }.items():
        key, texts[name] = _mint(name, policy, "saint-orme" if name == "stranger" else "valbourg")
        if name == "revoked":
            revoke_api_key(key, actor=ACTOR)
        if name == "poor":
            set_budget(on=key, period=Budget.Period.MONTH, limit_nano_eur=10_000, actor=ACTOR)
        if name == "one_an_hour":
            set_limit(on=key, what=Limit.What.REQUESTS, window=Limit.Window.HOUR, amount=1, actor=ACTOR)
        if name == "one_at_once":
            set_limit(on=key, what=Limit.What.CONCURRENT, window=Limit.Window.NONE, amount=1, actor=ACTOR)
    Path(file).write_text(json.dumps(texts))
