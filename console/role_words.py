"""What each role is for, in a sentence, for who chooses one."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from identity.models import Membership, OperatorRole, Role
from identity.permissions import Permission

WHAT_A_ROLE_DOES: dict[Role, Promise] = {
    Role.OWNER: _("Everything, and decides what the operator's support may do."),
    Role.ADMINISTRATOR: _("Everything but owners' matters: people, keys, budgets, sign-in, settings."),
    Role.DEVELOPER: _("Creates and rotates keys, calls models, reads requests and usage."),
    Role.FINANCE: _("Reads usage and bills of the whole organisation, sets budgets."),
    Role.AUDITOR: _("Reads everything, changes nothing, exports the audit."),
}

WHERE_A_SOURCE_IS_CHANGED: dict[str, Promise] = {
    Membership.Source.GROUP: _(
        "This person comes from a group of your identity provider. Change the groups there, or the rules under "
        "Settings, Sign-in; it counts from the next sign-in."
    ),
    Membership.Source.SCIM: _(
        "This person is kept by your directory through SCIM. Change or remove the person there; it counts at once."
    ),
}

WHAT_SUPPORT_MAY_GET: dict[Permission, Promise] = {
    Permission.TENANT_UPDATE: _("Change the organisation's settings"),
    Permission.PROJECT_CREATE: _("Create projects"),
    Permission.PROJECT_UPDATE: _("Change projects"),
    Permission.PROJECT_ARCHIVE: _("Archive projects"),
    Permission.KEY_BLOCK: _("Block and unblock keys"),
    Permission.KEY_REVOKE: _("Revoke keys"),
    Permission.BUDGET_UPDATE: _("Change budgets"),
    Permission.WEBHOOK_UPDATE: _("Change webhooks"),
    Permission.AUDIT_EXPORT: _("Export the audit"),
}

WHAT_AN_OPERATOR_DOES: dict[OperatorRole, Promise] = {
    OperatorRole.PLATFORM: _("Runs the platform: capacity, models, incidents, organisations."),
    OperatorRole.BILLING: _("Keeps prices, contracts and bills."),
    OperatorRole.SUPPORT: _("Helps organisations, in support sessions."),
}
