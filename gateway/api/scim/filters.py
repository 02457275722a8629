"""Which users a list shows, and what of them: the one filter that directories use, the page (RFC 7644, 3.4.2), and the
attributes (3.9).
"""

import json
import re
from typing import Any

from django.db.models import QuerySet

from gateway.api.scim.answers import ScimError
from gateway.api.scim.resources import USER, lowered, text_of
from identity.models import ScimUser

SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
COUNT_MAX = 200
_COUNT = 100
_ALWAYS = ("id", "schemas")
_EQUALS = re.compile(
    rf'\s*(?:{re.escape(USER)}:)?(username|externalid|id)\s+eq\s+("(?:[^"\\]|\\.){{0,1000}}")\s*', re.IGNORECASE
)
_COLUMNS = {"username": "user_name__iexact", "externalid": "external_id", "id": "person__pseudonym"}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def filtered(users: QuerySet[ScimUser], text: str | None) -> QuerySet[ScimUser]:
    """The users that the filter is about; all without one. Raises `ScimError`."""
    if text is None:
        return users
    found = _EQUALS.fullmatch(text)
    if found is None:
        raise ScimError("invalidFilter", 'A filter is: userName eq "...", externalId eq "..." or id eq "...".')
    try:
        value = json.loads(found[2])
    except ValueError:
        raise ScimError("invalidFilter", "The filter's value is no JSON text.") from None
    name = found[1].lower()
    if not value.isprintable() or not value or (name == "id" and not _UUID.fullmatch(value)):
        return users.none()
    return users.filter(**{_COLUMNS[name]: value})


def page_of(parameters: dict[str, str]) -> tuple[int, int]:
    """`startIndex` (from 1) and `count` (0 to 200), out-of-range ones moved into it. Raises `ScimError`."""
    start = max(1, _number(parameters, "startIndex", 1))
    return start, min(COUNT_MAX, max(0, _number(parameters, "count", _COUNT)))


def parameters_of(body: object) -> dict[str, str]:
    """What a search asks in its body, as an address would say it. Raises `ScimError`."""
    members = lowered(body)
    if SEARCH not in _texts(members.get("schemas"), "schemas"):
        raise ScimError("invalidSyntax", f"schemas must be {SEARCH}.")
    found = {name: ",".join(_texts(members.get(name.lower()), name)) for name in ("attributes", "excludedAttributes")}
    for name in ("startIndex", "count"):
        value = members.get(name.lower())
        if value is not None and type(value) is not int:
            raise ScimError("invalidValue", f"{name} must be a whole number.")
        found |= {name: str(value)} if value is not None else {}
    filter_text = members.get("filter")
    return found | ({"filter": text_of(filter_text, "filter")} if filter_text is not None else {})


def selected(resource: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
    """The attributes that the client wants (`attributes`, `excludedAttributes`), whole ones; some always come."""
    wanted, excluded = (_names(parameters.get(name, "")) for name in ("attributes", "excludedAttributes"))
    return {
        name: value
        for name, value in resource.items()
        if name in _ALWAYS or (name.lower() not in excluded and (not wanted or name.lower() in wanted))
    }


def _texts(value: object, name: str) -> list[str]:
    values = [] if value is None else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise ScimError("invalidValue", f"{name} must be a list of texts.")
    return values


def _names(text: str) -> set[str]:
    """Names of attributes in lower case, without the schema before and the part behind."""
    names = (name.strip().lower().removeprefix(f"{USER.lower()}:") for name in text.split(","))
    return {name.split(".")[0] for name in names if name}


def _number(parameters: dict[str, str], name: str, default: int) -> int:
    text = parameters.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise ScimError("invalidValue", f"{name} must be a whole number.")
    return int(text)
