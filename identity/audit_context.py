"""Through which door a change came and from which address. A door says so once; `audit.record()` reads it.

    with through(Door.SIGN_IN, address=address_of(request)):
        ...  # every audit record made in here tells it

Pages, the API and SCIM are told by `console.audit_door`, background tasks by `console.celery`. Whatever runs outside of
all doors was started on the machine itself: a command.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from identity.client_address import Address


class Door(StrEnum):
    """How a change came in. The values are in the audit chain, so they stay."""

    PAGE = "page"
    API = "api"
    COMMAND = "command"
    SCIM = "scim"
    SIGN_IN = "sign-in"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Origin:
    """A door, and the client's address where there is one."""

    door: Door
    address: Address | None = None


_origin: ContextVar[Origin] = ContextVar("audit_origin", default=Origin(Door.COMMAND))  # noqa: B039  (it is frozen)


@contextmanager
def through(door: Door, address: Address | None = None) -> Iterator[None]:
    """Whatever is recorded inside came through this door, from this address. Doors nest; the inner one counts."""
    token = _origin.set(Origin(door, address))
    try:
        yield
    finally:
        _origin.reset(token)


def origin() -> Origin:
    """Where what happens now came from."""
    return _origin.get()
