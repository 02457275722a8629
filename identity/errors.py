"""What a verb or the access funnel refuses with; a front door maps each to its own kind of answer.

IdentityError
├── NotFound         there is none, or none that the caller may know of   (404)
├── Forbidden        the caller knows of it, but is not allowed to        (403)
├── Invalid          a value makes no sense; names the field              (400)
├── Conflict         the value is fine, the present state forbids it      (409)
├── KeyRefused       an API key that does not open the door; has a reason (401 or 403)
└── SignInRefused    a provider vouched for somebody who may not come in; has a reason (403)
"""

from enum import StrEnum
from typing import Any


class IdentityError(Exception):
    """Base of all refusals of identity."""


class NotFound(IdentityError):
    """There is none, or none that this caller may know of: the two must look the same."""


class Forbidden(IdentityError):
    """The caller may know of it, but lacks the permission."""


class Invalid(IdentityError):
    """A value makes no sense. `field` is the argument's name, `message` an English sentence without the value."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class Conflict(IdentityError):
    """The present state forbids it: a name is taken, a limit is reached, the last owner would be gone."""


class Refusal(StrEnum):
    """Why a key does not open the door. Outside, the first two are one: a stranger learns nothing about look-ups."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    REVOKED = "revoked"
    BLOCKED = "blocked"
    ROTATED = "rotated"
    EXPIRED = "expired"
    TENANT_SUSPENDED = "tenant_suspended"
    PROJECT_ARCHIVED = "project_archived"
    ADDRESS = "address_not_allowed"
    ORIGIN = "origin_not_allowed"


class KeyRefused(IdentityError):
    """An API key does not open the door. `key`: the `ApiKey` whose secret was right; None: nobody that we know."""

    def __init__(self, reason: Refusal, key: Any = None) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.key = key


class SignInRefusal(StrEnum):
    """Why somebody does not come in for whom a provider vouched. Pages word it."""

    EMAIL_MISSING = "email_missing"
    EMAIL_UNVERIFIED = "email_unverified"
    DOMAIN_NOT_CONFIRMED = "domain_not_confirmed"
    OPERATOR = "operator"
    NO_OPERATOR = "no_operator"
    MEMBER = "member"
    OTHER_ACCOUNT = "other_account"
    SWITCHED_OFF = "switched_off"
    STRONGER_SIGN_IN = "stronger_sign_in"


class SignInRefused(IdentityError):
    """A provider vouched for somebody who may not come in."""

    def __init__(self, reason: SignInRefusal) -> None:
        super().__init__(reason.value)
        self.reason = reason
