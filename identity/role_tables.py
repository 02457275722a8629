"""`docs/roles.md`: which role may do what, as tables, made from `identity/permissions.py`."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from django.utils.translation import override

from identity.models import OperatorRole, Role
from identity.permissions import (
    EVERY_KEY,
    OPERATOR_PERMISSIONS,
    ROLE_PERMISSIONS,
    SCOPE_PERMISSIONS,
    SUPPORT_MAY_BE_GRANTED,
    SUPPORT_PERMISSIONS,
    TENANT_WIDE,
    OperatorPermission,
    Permission,
)
from identity.scopes import Scope

_HEAD = """# Roles

Made by `manage.py roles > docs/roles.md`; a test compares it with the product.

## In an organisation

*Named projects* says whether a member of some projects only can have it: what is about the whole organisation takes a
role in all of its projects. *Support* is an operator in a support session: `reads` comes with the session, `on grant`
takes an owner's word, for a time. An administrator makes and unmakes every role but owner.

"""
_OPERATORS = """
## For the platform

Nobody is a member and an operator with one account. What belongs to an organisation takes a support session; in an
emergency an operator may block a key, and the organisation is told. What organisations are charged, are billed and pay
is shown to who bills them alone (`billing:read`): charges, closing, invoices, payments, journal, prepaid credit.

"""
_SCOPES = """
## API keys

Each key reads its own. A scope can be given only by who has all of it.

"""


def roles_document() -> str:
    """The page, in Markdown."""
    with override("en"):
        return _HEAD + _of_tenants() + _OPERATORS + _of_operators() + _SCOPES + _of_keys()


def _of_tenants() -> str:
    names = [str(role.label) for role in Role]
    head = ["permission", *names, "support", "named projects"]
    rows = [
        [
            f"`{permission.value}`",
            *(_mark(permission in ROLE_PERMISSIONS[role]) for role in Role),
            _of_support(permission),
            _mark(permission not in TENANT_WIDE),
        ]
        for permission in Permission
    ]
    return _table(head, rows)


def _of_support(permission: Permission) -> str:
    if permission in SUPPORT_PERMISSIONS:
        return "reads"
    return "on grant" if permission in SUPPORT_MAY_BE_GRANTED else ""


def _of_operators() -> str:
    return _crossed(OperatorPermission, {str(role.label): OPERATOR_PERMISSIONS[role] for role in OperatorRole})


def _of_keys() -> str:
    granted = {"every key": EVERY_KEY} | {f"`{scope.value}`": SCOPE_PERMISSIONS[scope] for scope in Scope}
    return _crossed(
        [permission for permission in Permission if permission in frozenset().union(*granted.values())], granted
    )


def _crossed(permissions: Iterable[StrEnum], granted: Mapping[str, frozenset[StrEnum]]) -> str:
    rows = [
        [f"`{permission.value}`", *(_mark(permission in allowed) for allowed in granted.values())]
        for permission in permissions
    ]
    return _table(["permission", *granted], rows)


def _mark(is_so: bool) -> str:  # noqa: FBT001  # what a cell shows
    return "yes" if is_so else ""


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
