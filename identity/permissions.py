"""Who may do what: roles and scopes as tables. `identity/access.py` applies them; nobody compares roles elsewhere."""

from enum import StrEnum

from identity.models import Role
from identity.scopes import Scope


class Permission(StrEnum):
    """`resource:action`.

    USAGE_READ and BUDGET_READ are about one's own: a key's own records, a member's projects; USAGE_READ_TENANT is about
    everything in the tenant.
    """

    INFERENCE_CALL = "inference:call"
    TENANT_READ = "tenant:read"
    TENANT_UPDATE = "tenant:update"
    PROJECT_READ = "project:read"
    PROJECT_CREATE = "project:create"
    PROJECT_UPDATE = "project:update"
    KEY_READ = "key:read"
    KEY_CREATE = "key:create"
    KEY_REVOKE = "key:revoke"
    MEMBER_READ = "member:read"
    MEMBER_UPDATE = "member:update"
    USAGE_READ = "usage:read"
    USAGE_READ_TENANT = "usage:read_tenant"
    BUDGET_READ = "budget:read"
    BUDGET_UPDATE = "budget:update"
    AUDIT_READ = "audit:read"


_READS = frozenset(
    {
        Permission.TENANT_READ,
        Permission.PROJECT_READ,
        Permission.USAGE_READ,
        Permission.BUDGET_READ,
    }
)
_KEYS = frozenset({Permission.KEY_READ, Permission.KEY_CREATE, Permission.KEY_REVOKE})

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.OWNER: frozenset(Permission),
    Role.ADMINISTRATOR: frozenset(Permission),
    Role.DEVELOPER: _READS | _KEYS | {Permission.INFERENCE_CALL},
    Role.FINANCE: _READS | {Permission.USAGE_READ_TENANT, Permission.BUDGET_UPDATE},
    Role.AUDITOR: _READS
    | {Permission.USAGE_READ_TENANT, Permission.KEY_READ, Permission.MEMBER_READ, Permission.AUDIT_READ},
}

# What is about the tenant as a whole, and so is not for a member of some of its projects, whatever the role.
TENANT_WIDE = frozenset(
    {
        Permission.TENANT_UPDATE,
        Permission.PROJECT_CREATE,
        Permission.MEMBER_READ,
        Permission.MEMBER_UPDATE,
        Permission.USAGE_READ_TENANT,
        Permission.BUDGET_UPDATE,
        Permission.AUDIT_READ,
    }
)

# A key reads its own: what it is, its project, what it used, what it has left.
EVERY_KEY = _READS
SCOPE_PERMISSIONS: dict[Scope, frozenset[Permission]] = {
    Scope.INFERENCE: frozenset({Permission.INFERENCE_CALL}),
    Scope.USAGE_READ_TENANT: frozenset({Permission.USAGE_READ_TENANT}),
    Scope.KEYS_MANAGE: _KEYS,
}


def permissions_of_role(role: Role, *, in_all_projects: bool) -> frozenset[Permission]:
    """What a member may do; one who is in some projects only has nothing that is about the whole tenant."""
    permissions = ROLE_PERMISSIONS[role]
    return permissions if in_all_projects else permissions - TENANT_WIDE


def permissions_of_scopes(scopes: frozenset[Scope]) -> frozenset[Permission]:
    """What a key may do."""
    return EVERY_KEY.union(*(SCOPE_PERMISSIONS[scope] for scope in scopes))


def may_give(scope: Scope, permissions: frozenset[Permission]) -> bool:
    """Whether somebody with these permissions may give a key this scope: only what they have themselves (I6)."""
    return permissions >= SCOPE_PERMISSIONS[scope]
