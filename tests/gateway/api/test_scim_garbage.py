"""SCIM 2.0: what makes no sense is refused in the standard's form and changes nothing."""

import pytest

from tests.support.scim import Directory, refused


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "scim_type"),
    [
        ("POST", "/Users", [], 400, "invalidSyntax"),
        ("POST", "/Users", {}, 400, "invalidValue"),
        ("POST", "/Users", {"userName": 7}, 400, "invalidValue"),
        ("POST", "/Users", {"userName": "no address"}, 400, "invalidValue"),
        ("POST", "/Users", {"userName": "nul\x00@d.example"}, 400, "invalidValue"),
        ("POST", "/Users", {"userName": "\ud800@d.example"}, 400, "invalidValue"),
        ("POST", "/Users", {"userName": "a@d.example", "emails": 5}, 400, "invalidValue"),
        ("POST", "/Users", {"userName": "a@d.example", "emails": [5]}, 400, "invalidSyntax"),
        ("POST", "/Users", {"userName": "a@d.example", "active": "maybe"}, 400, "invalidValue"),
        ("PUT", "/Users/00000000-0000-4000-8000-000000000000", {"userName": "a@d.example"}, 404, None),
        ("GET", "/Users/not-a-uuid", None, 404, None),
        ("GET", "/Groups", None, 404, None),
        ("POST", "/Bulk", {}, 404, None),
        ("DELETE", "/Users", None, 405, None),
        ("GET", "/Schemas/nothing", None, 404, None),
    ],
)
def test_garbage_is_refused_in_scims_form(
    directory: Directory, method: str, path: str, body: object, status: int, scim_type: str | None
) -> None:
    refused(directory.ask(method, path, body), status, scim_type)


@pytest.mark.parametrize(
    ("operation", "scim_type"),
    [
        ({"op": "explode", "path": "active"}, "invalidSyntax"),
        ({"op": "replace", "path": "active", "value": "perhaps"}, "invalidValue"),
        ({"op": "replace", "path": "][", "value": 1}, "invalidPath"),
        ({"op": "replace", "path": "id", "value": "x"}, "mutability"),
        ({"op": "replace", "path": "displayName", "value": "\x00"}, "invalidValue"),
        ({"op": "replace", "path": "userName", "value": ""}, "invalidValue"),
        ({"op": "replace", "value": "active"}, "invalidSyntax"),
        ({"op": "remove", "path": "userName"}, "mutability"),
        ({"op": "remove"}, "noTarget"),
        ("active", "invalidSyntax"),
    ],
)
def test_a_patch_that_makes_no_sense_changes_nothing(directory: Directory, operation: object, scim_type: str) -> None:
    user = directory.made("erin")
    good = {"op": "replace", "path": "displayName", "value": "Changed"}
    refused(directory.patch(user, good, operation), 400, scim_type)
    assert directory.ask("GET", f"/Users/{user['id']}").json() == user
    refused(directory.ask("PATCH", f"/Users/{user['id']}", {"Operations": []}), 400, "invalidSyntax")
