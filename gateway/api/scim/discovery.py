"""What this service can do, in SCIM's own words (RFC 7643, 5 to 7): nothing is promised that is not there."""

from typing import Any

from django.conf import settings
from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.scim.answers import listed
from gateway.api.scim.filters import COUNT_MAX
from gateway.api.scim.resources import USER
from gateway.api.scim.view import ScimView
from identity.errors import NotFound

_CORE = "urn:ietf:params:scim:schemas:core:2.0"


class ServiceProviderConfigView(ScimView):
    """`/ServiceProviderConfig`."""

    def get(self, request: Request, slug: str) -> Response:
        """PATCH and a filter; no bulk, sorting, passwords or ETags."""
        no = {"supported": False}
        return Response(
            {
                "schemas": [f"{_CORE}:ServiceProviderConfig"],
                "patch": {"supported": True},
                "bulk": no | {"maxOperations": 0, "maxPayloadSize": 0},
                "filter": {"supported": True, "maxResults": COUNT_MAX},
                "changePassword": no,
                "sort": no,
                "etag": no,
                "authenticationSchemes": [
                    {
                        "type": "oauthbearertoken",
                        "name": "Bearer token",
                        "description": "A token that an administrator makes in the settings of the organisation.",
                        "primary": True,
                    }
                ],
                "meta": {
                    "resourceType": "ServiceProviderConfig",
                    "location": _address("scim-configuration", slug=slug),
                },
            }
        )


class ResourceTypesView(ScimView):
    """`/ResourceTypes`, and one by its name."""

    def get(self, request: Request, slug: str, name: str | None = None) -> Response:
        """Users, and nothing else."""
        users = {
            "schemas": [f"{_CORE}:ResourceType"],
            "id": "User",
            "name": "User",
            "description": "A person of the organisation",
            "endpoint": "/Users",
            "schema": USER,
            "meta": {
                "resourceType": "ResourceType",
                "location": _address("scim-resource-type", slug=slug, name="User"),
            },
        }
        return _one_or_all(users, name)


class SchemasView(ScimView):
    """`/Schemas`, and one by its name."""

    def get(self, request: Request, slug: str, name: str | None = None) -> Response:
        """The attributes of a user that are kept."""
        schema = {
            "schemas": [f"{_CORE}:Schema"],
            "id": USER,
            "name": "User",
            "description": "A person of the organisation",
            "attributes": _ATTRIBUTES,
            "meta": {"resourceType": "Schema", "location": _address("scim-schema", slug=slug, name=USER)},
        }
        return _one_or_all(schema, name)


def _one_or_all(resource: dict[str, Any], name: str | None) -> Response:
    if name is None:
        return listed([resource], total=1)
    if name != resource["id"]:
        raise NotFound("resource")
    return Response(resource)


def _address(route: str, **parts: str) -> str:
    return f"{settings.PUBLIC_URL}{reverse(route, kwargs=parts)}"


def _attribute(name: str, description: str, kind: str = "string", **other: Any) -> dict[str, Any]:
    plain = {
        "name": name,
        "type": kind,
        "description": description,
        "multiValued": False,
        "required": False,
        "mutability": "readWrite",
        "returned": "default",
    }
    return plain | ({"caseExact": False, "uniqueness": "none"} if kind == "string" else {}) | other


_ATTRIBUTES = [
    _attribute("userName", "The name in the directory", required=True, uniqueness="server"),
    _attribute("displayName", "What people are called"),
    _attribute(
        "name",
        "The name in parts; one text of it is kept",
        "complex",
        subAttributes=[_attribute("formatted", "The whole name")],
    ),
    _attribute("active", "Whether the person is a member", "boolean"),
    _attribute(
        "emails",
        "The address, of a confirmed domain; one is kept",
        "complex",
        required=True,
        multiValued=True,
        subAttributes=[
            _attribute("value", "The address", required=True),
            _attribute("type", "Always work", canonicalValues=["work"]),
            _attribute("primary", "Always true", "boolean"),
        ],
    ),
    _attribute(
        "roles",
        "Names that the organisation's group rules give a role for",
        "complex",
        multiValued=True,
        subAttributes=[_attribute("value", "The name in a rule", caseExact=True)],
    ),
]
