"""Who runs the platform, and as what. Nobody is a member of a tenant and an operator: the two are two accounts.

A verb about the platform takes `by: Operator`: a person, one of the operator's keys or a part of the product.
"""

from dataclasses import dataclass
from typing import Self

from django.db import transaction
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller
from identity.errors import Conflict, Forbidden
from identity.models import Membership, OperatorAppointment, OperatorKey, OperatorRole, Person, Role, Tenant
from identity.permissions import (
    OPERATOR_PERMISSIONS,
    OperatorPermission,
    Permission,
    permissions_of_operator,
    permissions_of_operator_scopes,
)
from identity.scopes import OperatorScope


@dataclass(frozen=True, slots=True)
class Operator:
    """Who asks for something on the platform, as `Caller` is who asks within a tenant.

    key: the operator's key that asks; None for a person. A part of the product is neither and may do everything
    """

    actor: audit.Actor
    permissions: frozenset[OperatorPermission]
    person: Person | None = None
    key: OperatorKey | None = None

    @classmethod
    def system(cls, component: str) -> Self:
        """A part of the product that sets something up by itself, or a command at the operator's machine."""
        return cls(audit.Actor.system(component), frozenset(OperatorPermission))

    @property
    def name(self) -> str:
        """What to call whoever does it, on the operator's own pages."""
        if self.person is not None:
            return str(self.person)
        return self.key.name if self.key else self.actor.name

    @property
    def scopes(self) -> frozenset[OperatorScope]:
        """The scopes of the key that asks; none for a person, who has permissions only."""
        return scopes_of_operator_key(self.key) if self.key else frozenset()

    def may(self, permission: OperatorPermission) -> bool:
        """Whether the operator has the permission."""
        return permission in self.permissions

    def require(self, permission: OperatorPermission) -> None:
        """Raises `Forbidden` where the operator lacks the permission."""
        if permission not in self.permissions:
            raise Forbidden(permission.value)


def operator_for_person(person: Person) -> Operator:
    """The person as an operator; one with no permission at all where the person runs nothing."""
    return Operator(audit.Actor.operator(person), permissions_for_operator(person), person=person)


def operator_for_key(key: OperatorKey) -> Operator:
    """The operator behind a key that `operator_keys.authenticate` let in."""
    permissions = permissions_of_operator_scopes(scopes_of_operator_key(key))
    return Operator(audit.Actor.operator_key(key), permissions, key=key)


def setting_up(tenant: Tenant, operator: Operator) -> Caller:
    """The operator as who sets a tenant up, with an owner's permissions: for the operator's own verbs that call a
    tenant's (a first owner is invited), never for a door.
    """
    return Caller(
        tenant=tenant,
        actor=operator.actor,
        permissions=frozenset(Permission),
        person=operator.person,
        role=Role.OWNER,
    )


def scopes_of_operator_key(key: OperatorKey) -> frozenset[OperatorScope]:
    """The scopes of a key, those included that another includes. One that this release does not know gives nothing."""
    known = {scope.value for scope in OperatorScope}
    own = {scope for scope in key.scopes if scope in known}
    return frozenset(OperatorScope(scope) for scope in own | {scope.replace(":write", ":read") for scope in own})


def permissions_for_operator(person: Person) -> frozenset[OperatorPermission]:
    """What the person may do on the platform; nothing for who does not run it, or was switched off."""
    if not (person.is_operator and person.is_active):
        return frozenset()
    roles = OperatorAppointment.objects.filter(person=person).values_list("role", flat=True)
    return permissions_of_operator(frozenset(OperatorRole(role) for role in roles))


def operators_who(permission: OperatorPermission) -> list[Person]:
    """Who has the permission on the platform."""
    roles = [role for role, given in OPERATOR_PERMISSIONS.items() if permission in given]
    return list(Person.objects.filter(appointments__role__in=roles, is_active=True).distinct().order_by("pk"))


def require_operator(person: Person, permission: OperatorPermission) -> None:
    """Raises `Forbidden` for who lacks the permission on the platform."""
    if permission not in permissions_for_operator(person):
        raise Forbidden(permission.value)


def appoint_operator(person: Person, role: OperatorRole, *, actor: audit.Actor) -> bool:
    """Give the person a role of the operator's. False where it was so before. Raises `Conflict` for a member."""
    with transaction.atomic():
        Person.objects.select_for_update().get(pk=person.pk)
        if Membership.objects.filter(person=person).exists():
            raise Conflict(_("a member of an organisation cannot run the platform with the same account"))
        is_new = OperatorAppointment.objects.get_or_create(person=person, role=role)[1]
        if not is_new:
            return False
        Person.objects.filter(pk=person.pk).update(is_operator=True)
        audit.record(actor=actor, action="operator.appointed", target=person, detail={"role": role.value})
    person.refresh_from_db()
    return True


def dismiss_operator(person: Person, role: OperatorRole, *, actor: audit.Actor) -> bool:
    """Take a role of the operator's away. False where there was none. Raises `Conflict` for the last who appoints."""
    with transaction.atomic():
        # All of them, in one order: two who dismiss each other must queue, or nobody would be left.
        everybody = OperatorAppointment.objects.select_for_update(of=("self",)).select_related("person")
        rows = list(everybody.order_by("pk"))
        mine = [row for row in rows if row.person_id == person.pk]
        dismissed = next((row for row in mine if row.role == role), None)
        if dismissed is None:
            return False
        if role == OperatorRole.PLATFORM and not any(_appoints(row) for row in rows if row.pk != dismissed.pk):
            raise Conflict(_("the platform keeps at least one platform operator"))
        dismissed.delete()
        Person.objects.filter(pk=person.pk).update(is_operator=len(mine) > 1)
        audit.record(actor=actor, action="operator.dismissed", target=person, detail={"role": role.value})
    person.refresh_from_db()
    return True


def _appoints(row: OperatorAppointment) -> bool:
    return row.role == OperatorRole.PLATFORM and row.person.is_active
