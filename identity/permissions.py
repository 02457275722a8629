"""Who may do what: roles and scopes as tables. `identity/access.py` applies them; nobody compares roles elsewhere.

`docs/roles.md` shows them, made from here (`identity/role_tables.py`).
"""

from enum import StrEnum

from identity.models import OperatorRole, Role
from identity.scopes import OperatorScope, Scope


class Permission(StrEnum):
    """`resource:action`, within one tenant.

    USAGE_READ and BUDGET_READ are about one's own: a key's own records, a member's projects; USAGE_READ_TENANT is about
    everything in the tenant. KEY_BLOCK stops a key at once and can be undone, KEY_REVOKE cannot. SUPPORT_GRANT gives an
    operator's support session more than reading, SUPPORT_END ends one. TIER_CHOOSE takes another tier,
    CREDIT_ORDER orders prepaid credit. BILLING_UPDATE says who the tenant is in law: whom its invoices are made out to.
    PAYER_UPDATE names another legal entity that pays, and ends that.
    """

    INFERENCE_CALL = "inference:call"
    PLAYGROUND_USE = "playground:use"
    MODEL_READ = "model:read"
    REQUEST_READ = "request:read"
    TENANT_READ = "tenant:read"
    TENANT_UPDATE = "tenant:update"
    PROJECT_READ = "project:read"
    PROJECT_CREATE = "project:create"
    PROJECT_UPDATE = "project:update"
    PROJECT_ARCHIVE = "project:archive"
    KEY_READ = "key:read"
    KEY_CREATE = "key:create"
    KEY_UPDATE = "key:update"
    KEY_ROTATE = "key:rotate"
    KEY_BLOCK = "key:block"
    KEY_REVOKE = "key:revoke"
    KEY_RULES_UPDATE = "key_rules:update"
    MEMBER_READ = "member:read"
    MEMBER_INVITE = "member:invite"
    MEMBER_UPDATE = "member:update"
    MEMBER_REVIEW = "member:review"
    SUPPORT_GRANT = "support:grant"
    SUPPORT_END = "support:end"
    USAGE_READ = "usage:read"
    USAGE_READ_TENANT = "usage:read_tenant"
    BUDGET_READ = "budget:read"
    BUDGET_UPDATE = "budget:update"
    BILLING_READ = "billing:read"
    BILLING_UPDATE = "billing:update"
    PAYER_UPDATE = "payer:update"
    TIER_CHOOSE = "tier:choose"
    CREDIT_ORDER = "credit:order"
    PROVIDER_READ = "provider:read"
    PROVIDER_UPDATE = "provider:update"
    NOTICE_READ = "notice:read"
    WEBHOOK_READ = "webhook:read"
    WEBHOOK_UPDATE = "webhook:update"
    AUDIT_READ = "audit:read"
    AUDIT_EXPORT = "audit:export"


class OperatorPermission(StrEnum):
    """`resource:action` on the platform as a whole. None of them is about what is a tenant's: that takes a support
    session (`identity/support_sessions.py`), but for blocking a key in an emergency, for what tenants are charged, are
    billed and pay (BILLING_READ), and for the sums of that by project, key and model (USAGE_EXPORT). These two are for
    who bills: nobody needs them who runs machines or helps.
    """

    PLATFORM_READ = "platform:read"
    PLATFORM_OPERATE = "platform:operate"
    CAPACITY_UPDATE = "capacity:update"
    CATALOGUE_UPDATE = "catalogue:update"
    INCIDENT_UPDATE = "incident:update"
    TENANT_CREATE = "tenant:create"
    TENANT_SUSPEND = "tenant:suspend"
    DOMAIN_CONFIRM = "domain:confirm"
    OPERATOR_APPOINT = "operator:appoint"
    OPERATOR_KEY_UPDATE = "operator_key:update"
    KEY_BLOCK = "key:block"
    SUPPORT_OPEN = "support:open"
    PRICE_UPDATE = "price:update"
    CONTRACT_UPDATE = "contract:update"
    LEDGER_CORRECT = "ledger:correct"
    INVOICE_ISSUE = "invoice:issue"
    BILLING_READ = "billing:read"
    USAGE_EXPORT = "usage:export"
    AUDIT_READ = "audit:read"


_READS = frozenset(
    {
        Permission.TENANT_READ,
        Permission.PROJECT_READ,
        Permission.MODEL_READ,
        Permission.REQUEST_READ,
        Permission.USAGE_READ,
        Permission.BUDGET_READ,
    }
)
_CALLS = frozenset({Permission.INFERENCE_CALL, Permission.PLAYGROUND_USE})
_KEYS = frozenset(
    {
        Permission.KEY_READ,
        Permission.KEY_CREATE,
        Permission.KEY_UPDATE,
        Permission.KEY_ROTATE,
        Permission.KEY_BLOCK,
        Permission.KEY_REVOKE,
    }
)
_ALL_READS = _READS | {
    Permission.KEY_READ,
    Permission.MEMBER_READ,
    Permission.USAGE_READ_TENANT,
    Permission.BILLING_READ,
    Permission.PROVIDER_READ,
    Permission.NOTICE_READ,
    Permission.WEBHOOK_READ,
    Permission.AUDIT_READ,
}

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.OWNER: frozenset(Permission),
    Role.ADMINISTRATOR: frozenset(Permission)
    - {Permission.SUPPORT_GRANT, Permission.TIER_CHOOSE, Permission.CREDIT_ORDER, Permission.PAYER_UPDATE},
    Role.DEVELOPER: _READS | _KEYS | _CALLS,
    Role.FINANCE: _READS
    | {
        Permission.USAGE_READ_TENANT,
        Permission.BUDGET_UPDATE,
        Permission.BILLING_READ,
        Permission.CREDIT_ORDER,
        Permission.BILLING_UPDATE,
    },
    Role.AUDITOR: _ALL_READS | {Permission.AUDIT_EXPORT},
}

# What is about the tenant as a whole, and so is not for a member of some of its projects, whatever the role.
TENANT_WIDE = frozenset(
    {
        Permission.TENANT_UPDATE,
        Permission.PROJECT_CREATE,
        Permission.KEY_RULES_UPDATE,
        Permission.MEMBER_READ,
        Permission.MEMBER_INVITE,
        Permission.MEMBER_UPDATE,
        Permission.MEMBER_REVIEW,
        Permission.SUPPORT_GRANT,
        Permission.SUPPORT_END,
        Permission.USAGE_READ_TENANT,
        Permission.BUDGET_UPDATE,
        Permission.BILLING_READ,
        Permission.BILLING_UPDATE,
        Permission.PAYER_UPDATE,
        Permission.TIER_CHOOSE,
        Permission.CREDIT_ORDER,
        Permission.PROVIDER_READ,
        Permission.PROVIDER_UPDATE,
        Permission.NOTICE_READ,
        Permission.WEBHOOK_READ,
        Permission.WEBHOOK_UPDATE,
        Permission.AUDIT_READ,
        Permission.AUDIT_EXPORT,
    }
)

OPERATOR_PERMISSIONS: dict[OperatorRole, frozenset[OperatorPermission]] = {
    OperatorRole.PLATFORM: frozenset(OperatorPermission)
    - {
        OperatorPermission.PRICE_UPDATE,
        OperatorPermission.CONTRACT_UPDATE,
        OperatorPermission.LEDGER_CORRECT,
        OperatorPermission.INVOICE_ISSUE,
        OperatorPermission.BILLING_READ,
        OperatorPermission.USAGE_EXPORT,
    },
    OperatorRole.BILLING: frozenset(
        {
            OperatorPermission.PLATFORM_READ,
            OperatorPermission.TENANT_CREATE,
            OperatorPermission.TENANT_SUSPEND,
            OperatorPermission.PRICE_UPDATE,
            OperatorPermission.CONTRACT_UPDATE,
            OperatorPermission.LEDGER_CORRECT,
            OperatorPermission.INVOICE_ISSUE,
            OperatorPermission.BILLING_READ,
            OperatorPermission.USAGE_EXPORT,
        }
    ),
    OperatorRole.SUPPORT: frozenset(
        {OperatorPermission.PLATFORM_READ, OperatorPermission.KEY_BLOCK, OperatorPermission.SUPPORT_OPEN}
    ),
}

# What an operator may do in a support session: look.
SUPPORT_PERMISSIONS = _ALL_READS
# What an owner may add to a support session, for a time. Nothing that makes a credential or calls a model, nothing that
# lets anybody in, and nothing that gives more.
SUPPORT_MAY_BE_GRANTED = frozenset(
    {
        Permission.TENANT_UPDATE,
        Permission.PROJECT_CREATE,
        Permission.PROJECT_UPDATE,
        Permission.PROJECT_ARCHIVE,
        Permission.KEY_BLOCK,
        Permission.KEY_REVOKE,
        Permission.BUDGET_UPDATE,
        Permission.WEBHOOK_UPDATE,
        Permission.AUDIT_EXPORT,
    }
)

# A key reads its own: what it is, its project, what it used, what it has left.
EVERY_KEY = _READS
SCOPE_PERMISSIONS: dict[Scope, frozenset[Permission]] = {
    Scope.INFERENCE: _CALLS,
    Scope.USAGE_READ_TENANT: frozenset({Permission.USAGE_READ_TENANT}),
    Scope.KEYS_MANAGE: _KEYS,
    Scope.PROJECTS_MANAGE: frozenset(
        {Permission.PROJECT_CREATE, Permission.PROJECT_UPDATE, Permission.PROJECT_ARCHIVE}
    ),
    Scope.BUDGETS_MANAGE: frozenset({Permission.BUDGET_UPDATE}),
    Scope.AUDIT_READ: frozenset({Permission.AUDIT_READ, Permission.AUDIT_EXPORT}),
    Scope.MEMBERS_READ: frozenset({Permission.MEMBER_READ}),
    Scope.MEMBERS_MANAGE: frozenset(
        {Permission.MEMBER_READ, Permission.MEMBER_INVITE, Permission.MEMBER_UPDATE, Permission.SUPPORT_END}
    ),
    Scope.TENANT_MANAGE: frozenset(
        {Permission.NOTICE_READ, Permission.WEBHOOK_READ, Permission.WEBHOOK_UPDATE, Permission.TENANT_UPDATE}
    ),
    Scope.IDENTITY_MANAGE: frozenset(
        {Permission.PROVIDER_READ, Permission.PROVIDER_UPDATE, Permission.KEY_RULES_UPDATE}
    ),
    Scope.BILLING_READ: frozenset({Permission.BILLING_READ}),
    Scope.BILLING_MANAGE: frozenset({Permission.BILLING_READ, Permission.BILLING_UPDATE}),
    Scope.TIER_CHOOSE: frozenset({Permission.BILLING_READ, Permission.TIER_CHOOSE}),
    Scope.CREDIT_ORDER: frozenset({Permission.BILLING_READ, Permission.CREDIT_ORDER}),
}

# Reading is the same for all of them: which of it, the scope itself says (`gateway/api/operator/view.py`).
OPERATOR_SCOPE_PERMISSIONS: dict[OperatorScope, frozenset[OperatorPermission]] = {
    scope: frozenset({OperatorPermission.PLATFORM_READ, *permissions})
    for scope, permissions in {
        OperatorScope.TENANTS_READ: (),
        OperatorScope.TENANTS_WRITE: (OperatorPermission.TENANT_CREATE, OperatorPermission.TENANT_SUSPEND),
        OperatorScope.TIERS_READ: (),
        OperatorScope.TIERS_WRITE: (OperatorPermission.CONTRACT_UPDATE,),
        OperatorScope.PRICES_READ: (),
        OperatorScope.PRICES_WRITE: (OperatorPermission.PRICE_UPDATE,),
        OperatorScope.MODELS_READ: (),
        OperatorScope.MODELS_WRITE: (OperatorPermission.CATALOGUE_UPDATE,),
        OperatorScope.POOLS_READ: (),
        OperatorScope.POOLS_WRITE: (OperatorPermission.CAPACITY_UPDATE,),
        OperatorScope.BILLING_READ: (OperatorPermission.BILLING_READ, OperatorPermission.USAGE_EXPORT),
        OperatorScope.BILLING_WRITE: (
            OperatorPermission.CONTRACT_UPDATE,
            OperatorPermission.LEDGER_CORRECT,
            OperatorPermission.INVOICE_ISSUE,
            OperatorPermission.BILLING_READ,
            OperatorPermission.USAGE_EXPORT,
        ),
        OperatorScope.METRICS_READ: (),
    }.items()
}


def permissions_of_role(role: Role, *, in_all_projects: bool) -> frozenset[Permission]:
    """What a member may do; one who is in some projects only has nothing that is about the whole tenant."""
    permissions = ROLE_PERMISSIONS[role]
    return permissions if in_all_projects else permissions - TENANT_WIDE


def permissions_of_scopes(scopes: frozenset[Scope]) -> frozenset[Permission]:
    """What a key may do."""
    return EVERY_KEY.union(*(SCOPE_PERMISSIONS[scope] for scope in scopes))


def permissions_of_operator(roles: frozenset[OperatorRole]) -> frozenset[OperatorPermission]:
    """What somebody who runs the platform may do there."""
    none: frozenset[OperatorPermission] = frozenset()
    return none.union(*(OPERATOR_PERMISSIONS[role] for role in roles))


def permissions_of_operator_scopes(scopes: frozenset[OperatorScope]) -> frozenset[OperatorPermission]:
    """What an operator's key may do."""
    none: frozenset[OperatorPermission] = frozenset()
    return none.union(*(OPERATOR_SCOPE_PERMISSIONS[scope] for scope in scopes))


def may_give(scope: Scope, permissions: frozenset[Permission]) -> bool:
    """Whether somebody with these permissions may give a key this scope: only what they have themselves (I6)."""
    return permissions >= SCOPE_PERMISSIONS[scope]
