"""What a key may be used for. Pure: the relay reads scopes too."""

from enum import StrEnum


class Scope(StrEnum):
    """A power that is given to a key. Reading its own records, budgets and limits comes with every key and needs none.

    INFERENCE          call models
    USAGE_READ_TENANT  read the usage and the budgets of the whole tenant
    KEYS_MANAGE        create, list, change, rotate and revoke the keys of its own project, none of them able to do more
                       than itself
    PROJECTS_MANAGE    create, change and archive the projects of the tenant
    BUDGETS_MANAGE     set and end budgets and limits of the tenant, its projects and its keys
    AUDIT_READ         read, verify and export the audit of the whole tenant
    MEMBERS_READ       read members, invitations, access reviews and support sessions of the tenant
    MEMBERS_MANAGE     the same; invite, change and remove members of the key's project who may do no more than the key
                       itself; end support sessions
    TENANT_MANAGE      read the notices of the whole tenant, manage its webhooks, change its name and time zone
    IDENTITY_MANAGE    say how people and keys get in: prepare and switch off the tenant's own provider, make and revoke
                       its directory's tokens, set its rules for keys; with MEMBERS_MANAGE what groups give. Whoever has
                       it can let others in who may do more than the key itself
    BILLING_READ       read the contract in force and the monthly statements
    TIER_CHOOSE        the same; take another tier
    CREDIT_ORDER       read the contract and the statements; order prepaid credit
    BILLING_MANAGE     the same; say who the tenant is in law
    """

    INFERENCE = "inference"
    USAGE_READ_TENANT = "usage:read:tenant"
    KEYS_MANAGE = "keys:manage"
    PROJECTS_MANAGE = "projects:manage"
    BUDGETS_MANAGE = "budgets:manage"
    AUDIT_READ = "audit:read"
    MEMBERS_READ = "members:read"
    MEMBERS_MANAGE = "members:manage"
    TENANT_MANAGE = "tenant:manage"
    IDENTITY_MANAGE = "identity:manage"
    BILLING_READ = "billing:read"
    BILLING_MANAGE = "billing:manage"
    TIER_CHOOSE = "tier:choose"
    CREDIT_ORDER = "credit:order"


class OperatorScope(StrEnum):
    """A power that is given to an operator's key, over all tenants. `write` includes `read`.

    TENANTS  make, change, suspend and reactivate tenants; invite the owner of one that has none
    TIERS    tiers, and which one a tenant's contract is made from
    PRICES   rate cards and prices
    MODELS   the catalogue, who sees which model
    POOLS    engines, pools and replicas
    BILLING  contracts, corrections of the ledger, invoices
    METRICS  figures of the whole platform at `/metrics`, for its monitoring; there is nothing to write
    """

    TENANTS_READ = "tenants:read"
    TENANTS_WRITE = "tenants:write"
    TIERS_READ = "tiers:read"
    TIERS_WRITE = "tiers:write"
    PRICES_READ = "prices:read"
    PRICES_WRITE = "prices:write"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    POOLS_READ = "pools:read"
    POOLS_WRITE = "pools:write"
    BILLING_READ = "billing:read"
    BILLING_WRITE = "billing:write"
    METRICS_READ = "metrics:read"
