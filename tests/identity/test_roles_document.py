"""docs/roles.md says what the product does."""

from pathlib import Path

from identity.models import OperatorRole, Role
from identity.permissions import ROLE_PERMISSIONS, OperatorPermission, Permission
from identity.role_tables import roles_document

DOCUMENT = Path(__file__).parents[2] / "docs" / "roles.md"


def cells_of(permission: Permission) -> list[str]:
    [line] = [line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| `{permission.value}` |")][:1]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_is_as_the_product() -> None:
    assert DOCUMENT.read_text() == roles_document(), "run: manage.py roles > docs/roles.md"


def test_the_matrix_has_every_permission_and_every_role() -> None:
    text = DOCUMENT.read_text()
    assert all(f"`{permission.value}`" in text for permission in (*Permission, *OperatorPermission))
    assert all(str(role.label) in text for role in (*Role, *OperatorRole))
    for permission in Permission:
        shown = dict(zip(Role, cells_of(permission)[1:], strict=False))
        assert shown == {role: "yes" if permission in ROLE_PERMISSIONS[role] else "" for role in Role}
