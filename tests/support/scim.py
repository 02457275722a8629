"""A tenant's directory, which provisions people by SCIM."""

import json
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.test import Client

from identity.email_domains import confirm_domain
from identity.models import Person, ScimToken
from identity.scim_tokens import make_token
from tests.support.people import TESTS, Cast, as_member

ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"


@dataclass
class Directory:
    """A tenant's directory, which speaks SCIM with a token."""

    cast: Cast
    domain: str
    token: ScimToken
    text: str

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """The answer to any method; `body` is sent as SCIM's JSON."""
        sent = {"Authorization": f"Bearer {self.text}"} | headers
        data: dict[str, Any] = {}
        if body is not None:
            data = {"data": json.dumps(body), "content_type": "application/scim+json"}
        client = Client(HTTP_HOST="localhost", REMOTE_ADDR="", raise_request_exception=False)
        return client.generic(method, f"/scim/v2/{self.cast.tenant.slug}{path}", headers=sent, **data)

    def address(self, name: str) -> str:
        """Somebody's, of the confirmed domain."""
        return f"{name}@{self.domain}"

    def body(self, name: str, **members: object) -> dict[str, object]:
        """A user as the directory writes it."""
        return {
            "schemas": [USER],
            "userName": self.address(name),
            "displayName": name.title(),
            "emails": [{"value": self.address(name), "type": "work", "primary": True}],
        } | members

    def made(self, name: str, **members: object) -> dict[str, Any]:
        """A new user."""
        response = self.ask("POST", "/Users", self.body(name, **members))
        assert response.status_code == 201, response.content
        made: dict[str, Any] = response.json()
        assert response["Location"] == made["meta"]["location"]
        return made

    def patch(self, user: dict[str, Any], *operations: object) -> Any:
        """The answer to a PATCH."""
        return self.ask("PATCH", f"/Users/{user['id']}", {"schemas": [PATCH_OP], "Operations": operations})

    def found(self, condition: str) -> list[str]:
        """The names of the users that a filter finds."""
        response = self.ask("GET", f"/Users?{urlencode({'filter': condition})}")
        assert response.status_code == 200, response.content
        return [user["userName"] for user in response.json()["Resources"]]


def directory_of(cast: Cast, maker: Person) -> Directory:
    """A directory with a confirmed domain of its own."""
    domain = f"d{uuid.uuid4().hex}.example"
    confirm_domain(cast.tenant, domain, actor=TESTS)
    token, text = make_token(by=as_member(maker, cast.tenant), name="Our directory")
    return Directory(cast, domain, token, text)


def refused(response: Any, status: int, scim_type: str | None = None) -> None:
    """Fails unless the answer is this error in SCIM's form."""
    assert (response.status_code, response["Content-Type"]) == (status, "application/scim+json"), response.content
    problem = response.json()
    assert (problem["schemas"], problem["status"]) == ([ERROR], str(status))
    assert problem.get("scimType") == scim_type, problem
