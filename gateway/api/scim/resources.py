"""A user in SCIM's JSON (RFC 7643, 4.1), both ways.

Attributes that we do not keep are read over, as RFC 7644, 3.3 says. Names of attributes are
without case; booleans may come as text, as Microsoft Entra ID writes them.
"""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.urls import reverse

from gateway.api.scim.answers import ScimError
from identity.audit_signing import utc_text
from identity.models import ScimUser
from identity.scim_users import DirectoryUser, described

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
_BOOLEANS = {"true": True, "false": False}


def resource_of(row: ScimUser) -> dict[str, Any]:
    """The user as the standard writes it."""
    user = described(row)
    identifier = str(row.person.pseudonym)
    shown: dict[str, Any] = {
        "schemas": [USER],
        "id": identifier,
        "userName": user.user_name,
        "active": user.is_active,
        "emails": [{"value": user.email, "type": "work", "primary": True}],
        "meta": {
            "resourceType": "User",
            "created": utc_text(row.created_at),
            "lastModified": utc_text(row.changed_at),
            "location": location_of(row),
        },
    }
    if user.display_name:
        shown |= {"displayName": user.display_name, "name": {"formatted": user.display_name}}
    if user.external_id:
        shown["externalId"] = user.external_id
    if user.roles:
        shown["roles"] = [{"value": role} for role in user.roles]
    return shown


def location_of(row: ScimUser) -> str:
    """The user's address."""
    kwargs: dict[str, str | UUID] = {"slug": row.tenant.slug, "pseudonym": row.person.pseudonym}
    return f"{settings.PUBLIC_URL}{reverse('scim-user', kwargs=kwargs)}"


def user_of_body(body: object, known: DirectoryUser | None = None) -> DirectoryUser:
    """What a POST or PUT says. `known`: as the user is; who is replaced without an address keeps theirs.

    Raises `ScimError`.
    """
    members = lowered(body)
    user_name = text_of(members.get("username"), "userName")
    if not user_name.strip():
        raise ScimError("invalidValue", "userName is required.")
    email = address_of_emails(members.get("emails"))
    if not email:
        email = user_name if "@" in user_name or known is None else known.email
    return DirectoryUser(
        user_name=user_name,
        email=email,
        display_name=text_of(members.get("displayname"), "displayName") or name_of(members.get("name")),
        external_id=text_of(members.get("externalid"), "externalId"),
        is_active=boolean_of(members.get("active", True), "active"),
        roles=roles_of(members.get("roles")),
    )


def lowered(value: object) -> dict[str, Any]:
    """An object's members by name in lower case. Raises `ScimError`."""
    if not isinstance(value, dict):
        raise ScimError("invalidSyntax", "This must be a JSON object.")
    return {str(name).lower(): member for name, member in value.items()}


def text_of(value: object, name: str) -> str:
    """A text, empty for null. Raises `ScimError`."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ScimError("invalidValue", f"{name} must be a text.")
    return value


def boolean_of(value: object, name: str) -> bool:
    """A boolean, or a text that says one. Raises `ScimError`."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _BOOLEANS:
        return _BOOLEANS[value.strip().lower()]
    raise ScimError("invalidValue", f"{name} must be true or false.")


def name_of(value: object) -> str:
    """The one text of the complex attribute `name`. Raises `ScimError`."""
    if value is None:
        return ""
    members = lowered(value)
    formatted = text_of(members.get("formatted"), "name.formatted")
    parts = [text_of(members.get(part), "name") for part in ("givenname", "familyname")]
    return formatted or " ".join(filter(None, parts))


def address_of_emails(value: object) -> str:
    """The primary address, else the first; empty where there is none. Raises `ScimError`."""
    emails = [lowered(email) for email in _several(value, "emails")]
    primary = [email for email in emails if boolean_of(email.get("primary") or False, "emails.primary")]
    return next((text_of(email.get("value"), "emails.value") for email in primary or emails), "")


def roles_of(value: object) -> tuple[str, ...]:
    """The names of the roles, which may also be written as plain texts. Raises `ScimError`."""
    roles = _several(value, "roles")
    names = [role if isinstance(role, str) else text_of(lowered(role).get("value"), "roles.value") for role in roles]
    return tuple(filter(None, names))


def _several(value: object, name: str) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, dict | str):
        return [value]
    if not isinstance(value, list):
        raise ScimError("invalidValue", f"{name} must be a list.")
    return value
