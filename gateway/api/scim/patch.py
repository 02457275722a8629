"""PATCH (RFC 7644, 3.5.2), also in the forms of Entra ID (`"False"`, `"Replace"`) and Okta (no path).

An operation on an attribute that we do not keep changes nothing.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.api.scim.answers import ScimError
from gateway.api.scim.resources import USER, address_of_emails, boolean_of, lowered, name_of, roles_of, text_of
from identity.scim_users import DirectoryUser

OPERATIONS_MAX = 100
_PATH = re.compile(r"[A-Za-z$][\w:.$-]*(\[[^\[\]]{1,200}\])?(\.[A-Za-z$][\w$-]*)?")
_WORK_EMAIL = re.compile(r'emails\[(type eq "work"|primary eq "?true"?)\]\.value')
_READ_ONLY = ("id", "meta", "groups")


def patched(user: DirectoryUser, body: object) -> DirectoryUser:
    """The user after all operations. Raises `ScimError`."""
    operations = lowered(body).get("operations")
    if not isinstance(operations, list) or not 0 < len(operations) <= OPERATIONS_MAX:
        raise ScimError("invalidSyntax", f"Operations must be a list of 1 to {OPERATIONS_MAX}.")
    for operation in operations:
        user = _after(user, lowered(operation))
    return user


def _after(user: DirectoryUser, operation: dict[str, Any]) -> DirectoryUser:
    verb = text_of(operation.get("op"), "op").lower()
    if verb not in ("add", "replace", "remove"):
        raise ScimError("invalidSyntax", "op must be add, replace or remove.")
    path = operation.get("path")
    if verb == "remove":
        if not path:
            raise ScimError("noTarget", "remove needs a path.")
        return _removed(user, _path(path))
    if path:
        return _set(user, _path(path), operation.get("value"))
    for name, value in lowered(operation.get("value")).items():
        user = _set(user, _path(name), value)
    return user


def _path(path: object) -> str:
    """In lower case and without the schema of users before it. Raises `ScimError`."""
    text = text_of(path, "path").strip()
    if not _PATH.fullmatch(text):
        raise ScimError("invalidPath", "The path is none of an attribute.")
    text = text.lower()
    prefix = f"{USER.lower()}:"
    return text.removeprefix(prefix)


def _set(user: DirectoryUser, path: str, value: object) -> DirectoryUser:
    _require_writable(path)
    if path.startswith("emails"):
        return _with_email(user, path, value)
    setter = _SETTERS.get(path)
    return setter(user, value) if setter else user


def _removed(user: DirectoryUser, path: str) -> DirectoryUser:
    _require_writable(path)
    match path:
        case "displayname" | "name.formatted":
            return replace(user, display_name="")
        case "externalid":
            return replace(user, external_id="")
        case "roles":
            return replace(user, roles=())
        case "active":
            return replace(user, is_active=True)  # as a user is made of whom nothing is said
        case "username" | "emails":
            raise ScimError("mutability", f"{path} cannot be removed.")
    return user


def _require_writable(path: str) -> None:
    if path.split(".")[0] in _READ_ONLY:
        raise ScimError("mutability", f"{path} is read-only.")


def _with_email(user: DirectoryUser, path: str, value: object) -> DirectoryUser:
    """The one address that we keep: the list's primary one, or what the path names as work or primary."""
    if path == "emails":
        email = address_of_emails(value)
    elif path == "emails.value" or _WORK_EMAIL.fullmatch(path):
        email = text_of(value, path)
    else:
        return user
    return replace(user, email=email) if email else user


def _with_user_name(user: DirectoryUser, value: object) -> DirectoryUser:
    """An address that was the user's name stays so."""
    name = text_of(value, "userName")
    is_address = user.user_name.lower() == user.email and "@" in name
    return replace(user, user_name=name, email=name if is_address else user.email)


def _with_name(user: DirectoryUser, value: object) -> DirectoryUser:
    name = name_of(value)
    return replace(user, display_name=name) if name else user


_SETTERS: dict[str, Callable[[DirectoryUser, object], DirectoryUser]] = {
    "active": lambda user, value: replace(user, is_active=boolean_of(value, "active")),
    "displayname": lambda user, value: replace(user, display_name=text_of(value, "displayName")),
    "name": _with_name,
    "name.formatted": lambda user, value: replace(user, display_name=text_of(value, "name.formatted")),
    "externalid": lambda user, value: replace(user, external_id=text_of(value, "externalId")),
    "roles": lambda user, value: replace(user, roles=roles_of(value)),
    "username": _with_user_name,
}
