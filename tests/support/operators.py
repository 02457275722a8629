"""Those who run the platform, as tests need them: a part of the product that may do all, and keys."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from identity.models import OperatorKey
from identity.operator_keys import make_operator_key, revoke_operator_key
from identity.operators import Operator
from identity.scopes import OperatorScope

RUNS = Operator.system("tests")


@dataclass(frozen=True)
class HeldOperatorKey:
    """A key and its text, which only its creation shows."""

    row: OperatorKey
    text: str

    @property
    def header(self) -> dict[str, str]:
        """What a client sends."""
        return {"Authorization": f"Bearer {self.text}"}


def held_operator_key(*scopes: OperatorScope) -> HeldOperatorKey:
    """A key with these scopes. One of the last test's goes: there are only so many."""
    older = OperatorKey.objects.filter(revoked_at=None).order_by("-id")[20:]
    for key in older:
        revoke_operator_key(by=RUNS, lookup=key.lookup)
    expires_at = timezone.now() + timedelta(days=1)
    return HeldOperatorKey(*make_operator_key(by=RUNS, name="A script", scopes=scopes, expires_at=expires_at))
