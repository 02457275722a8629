"""Tables of identity. Rules live in the verb modules beside this package (`api_keys`, `tenants`, `audit`, ...)."""

from identity.models.audit import AuditEvent, AuditHead
from identity.models.keys import ApiKey
from identity.models.notices import Notice, NoticeReading
from identity.models.people import Membership, Person, Role
from identity.models.sign_in import SignInLink
from identity.models.tenants import Project, Tenant

__all__ = [
    "ApiKey",
    "AuditEvent",
    "AuditHead",
    "Membership",
    "Notice",
    "NoticeReading",
    "Person",
    "Project",
    "Role",
    "SignInLink",
    "Tenant",
]
