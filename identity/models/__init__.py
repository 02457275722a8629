"""Tables of identity. Rules live in the verb modules beside this package (`api_keys`, `tenants`, `audit`, ...)."""

from identity.models.access_reviews import AccessReview, AccessReviewLine
from identity.models.audit import (
    AuditCheckpoint,
    AuditEvent,
    AuditHead,
    AuditName,
    AuditRefusalCount,
    AuditVerification,
)
from identity.models.backups import Backup
from identity.models.budget_duties import BudgetDuty
from identity.models.certificates import Certificate
from identity.models.invitations import Invitation
from identity.models.jobs import JobRun
from identity.models.keys import ApiKey, KeyUse, TenantKeyRules
from identity.models.log_exports import ExportCursor, LogExport, SpoolCursor
from identity.models.notices import (
    Channel,
    Notice,
    NoticeAnswer,
    NoticeChoice,
    NoticeDelivery,
    NoticeReading,
    Webhook,
)
from identity.models.operator_keys import OperatorKey
from identity.models.operators import OperatorAppointment, OperatorRole, SupportSession
from identity.models.organisation_rules import GroupFeed, OrganisationRule
from identity.models.people import Membership, Person, Role, Theme
from identity.models.providers import EmailDomain, GroupRule, IdentityProvider, ProviderVersion
from identity.models.scim import ScimToken, ScimUser
from identity.models.service import Service
from identity.models.sign_in import (
    AccessRequest,
    BreakGlassTry,
    LinkedIdentity,
    LocalAdministrator,
    SignIn,
    SignInLink,
)
from identity.models.tenants import Project, Tenant

__all__ = [
    "AccessRequest",
    "AccessReview",
    "AccessReviewLine",
    "ApiKey",
    "AuditCheckpoint",
    "AuditEvent",
    "AuditHead",
    "AuditName",
    "AuditRefusalCount",
    "AuditVerification",
    "Backup",
    "BreakGlassTry",
    "BudgetDuty",
    "Certificate",
    "Channel",
    "EmailDomain",
    "ExportCursor",
    "GroupFeed",
    "GroupRule",
    "IdentityProvider",
    "Invitation",
    "JobRun",
    "KeyUse",
    "LinkedIdentity",
    "LocalAdministrator",
    "LogExport",
    "Membership",
    "Notice",
    "NoticeAnswer",
    "NoticeChoice",
    "NoticeDelivery",
    "NoticeReading",
    "OperatorAppointment",
    "OperatorKey",
    "OperatorRole",
    "OrganisationRule",
    "Person",
    "Project",
    "ProviderVersion",
    "Role",
    "ScimToken",
    "ScimUser",
    "Service",
    "SignIn",
    "SignInLink",
    "SpoolCursor",
    "SupportSession",
    "Tenant",
    "TenantKeyRules",
    "Theme",
    "Webhook",
]
