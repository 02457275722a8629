"""Which door an audit record tells of."""

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from console.audit_door import AuditDoor
from console.celery import app
from identity.audit_context import Door, Origin, origin


@pytest.mark.parametrize(
    ("path", "door"),
    [
        ("/", Door.PAGE),
        ("/t/valbourg/keys", Door.PAGE),
        ("/api/keys", Door.API),
        ("/scim/v2/Users", Door.SCIM),
        ("/sign-in/abc", Door.SIGN_IN),
    ],
)
def test_X4_a_request_has_a_door_and_an_address(path: str, door: Door) -> None:
    seen: list[Origin] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(origin())
        return HttpResponse()

    request = RequestFactory().get(path, headers={"X-Forwarded-For": "192.0.2.7"}, REMOTE_ADDR="")
    AuditDoor(view)(request)
    assert [(seen[0].door, str(seen[0].address))] == [(door, "192.0.2.7")]
    assert origin().door == Door.COMMAND


def test_X4_a_task_comes_through_the_workers_door() -> None:
    @app.task(name="tests.tell_the_door")  # type: ignore[untyped-decorator]
    def tell() -> str:
        return origin().door.value

    assert tell.apply().get() == "worker"
    assert origin().door == Door.COMMAND
