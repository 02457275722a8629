"""People whom a tenant's directory provisions by SCIM: created, changed, deactivated, forgotten.

The rules, in one place:
- Only addresses of domains that the operator confirmed for the tenant; never an operator's.
- An address that somebody has already is linked: the person becomes a member here, keeps their name and address, and
  what they are in other tenants. Who was a member before keeps role and source.
- Active is who is a member. Deactivation ends the membership, the person's own keys here and their sessions, in one
  transaction; the projects' keys go on and ask for a new responsible person (`members.remove_member`).
- The role is what the tenant's group rules give for the `roles` that the directory names, else developer.
- Owners are made and unmade only through a token that an owner made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from identity import audit
from identity.access import Caller
from identity.email_domains import domains_of
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.group_rules import given_by
from identity.members import add_member, change_member, projects_of, remove_member
from identity.models import Membership, Person, Project, Role, ScimToken, ScimUser, Tenant
from identity.people import clean_email, create_person
from identity.providers import provider_of
from identity.service import service
from identity.sign_ins import end_all
from identity.wording import clean_name

COMPONENT = "scim"
ROLES_MAX = 50
_NAME_LENGTH_MAX = 254


class NotUnique(Conflict):
    """Another user of the directory has the name, or another person the address."""


class NotTheDirectorys(Conflict):
    """The person came from elsewhere: the directory does not change their address."""


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """A user as the directory writes it. `roles`: names that group rules may be about."""

    user_name: str
    email: str
    display_name: str = ""
    external_id: str = ""
    is_active: bool = True
    roles: tuple[str, ...] = ()

    def cleaned(self) -> "DirectoryUser":
        """The same in its one form. Raises `Invalid`."""
        if len(self.roles) > ROLES_MAX:
            raise Invalid("roles", f"must be at most {ROLES_MAX}")
        return DirectoryUser(
            user_name=clean_name(self.user_name, "userName", _NAME_LENGTH_MAX),
            email=clean_email(clean_name(self.email, "emails", _NAME_LENGTH_MAX)),
            display_name=clean_name(self.display_name, "displayName") if self.display_name.strip() else "",
            external_id=clean_name(self.external_id, "externalId", _NAME_LENGTH_MAX) if self.external_id else "",
            is_active=self.is_active,
            roles=tuple(sorted({clean_name(role, "roles", 255) for role in self.roles})),
        )


Change = Callable[[DirectoryUser], DirectoryUser]


def users_of(tenant: Tenant) -> QuerySet[ScimUser]:
    """Whom the tenant's directory knows here, oldest first; `is_member` says who is active."""
    member = Membership.objects.filter(tenant=OuterRef("tenant"), person=OuterRef("person"), person__is_active=True)
    users = ScimUser.objects.filter(tenant=tenant).select_related("person")
    return users.annotate(is_member=Exists(member)).order_by("id")


def user_of(tenant: Tenant, pseudonym: UUID) -> ScimUser:
    """One of them. Raises `NotFound`."""
    found = users_of(tenant).filter(person__pseudonym=pseudonym).first()
    if found is None:
        raise NotFound("user")
    return found


def described(user: ScimUser) -> DirectoryUser:
    """A user of `users_of` as the directory would write it now."""
    return DirectoryUser(
        user_name=user.user_name,
        email=user.person.email,
        display_name=user.display_name,
        external_id=user.external_id,
        is_active=bool(getattr(user, "is_member", False)),
        roles=tuple(user.roles),
    )


def create_user(*, token: ScimToken, user: DirectoryUser, now: datetime) -> ScimUser:
    """Make the person a member of the token's tenant, or link who has the address.

    Raises `Invalid`, `NotUnique` (known already, or an address that is not to be provisioned), `Forbidden`.
    """
    user = user.cleaned()
    _require_own_domain(token.tenant, user.email)
    person = Person.objects.filter(email=user.email).first()
    _require_new(token.tenant, user, person)
    made = person is None
    if person is None:
        # In a transaction of its own, as its link belongs to the platform's chain, which is locked after a tenant's.
        # Without a membership somebody is nobody yet, and a second try finds them.
        person = create_person(
            email=user.email,
            name=user.display_name,
            language=service().default_language,
            actor=audit.Actor.system(COMPONENT),
        )
    with transaction.atomic():
        _lock(token.tenant)
        try:
            with transaction.atomic():
                row = ScimUser.objects.create(tenant=token.tenant, person=person, made_person=made, **_columns(user))
        except IntegrityError:
            raise NotUnique("there is such a user already") from None
        _record(token, "created", person, made_person=made)
        _set_membership(token, row, user, now)
    return user_of(token.tenant, person.pseudonym)


def change_user(*, token: ScimToken, pseudonym: UUID, change: Change, now: datetime) -> ScimUser:
    """Make the user what `change` makes of it; it is called with the user as it is, under a lock.

    Raises `NotFound`, `Invalid`, `NotUnique`, `NotTheDirectorys`, `Forbidden`, `Conflict` (the last owner).
    """
    with transaction.atomic():
        _lock(token.tenant)
        row = user_of(token.tenant, pseudonym)
        before = described(row)
        after = change(before).cleaned()
        if after.is_active and (not before.is_active or after.email != before.email):
            _require_own_domain(token.tenant, after.email)
        _change_person(row, before, after)
        changed = [name for name in DirectoryUser.__slots__ if getattr(before, name) != getattr(after, name)]
        if changed:
            _keep(row, after)
            if changed != ["is_active"]:
                _record(token, "changed", row.person, changed=sorted(set(changed) - {"is_active"}))
            _set_membership(token, row, after, now)
    return user_of(token.tenant, pseudonym)


def delete_user(*, token: ScimToken, pseudonym: UUID, now: datetime) -> None:
    """Deactivate the user, whom the directory then does not know here any more; the person is not erased.

    Raises `NotFound`, `Forbidden`, `Conflict` (the last owner).
    """
    with transaction.atomic():
        _lock(token.tenant)
        row = user_of(token.tenant, pseudonym)
        _deactivate(token, row, now)
        ScimUser.objects.filter(pk=row.pk).delete()
        _record(token, "deleted", row.person)


def _lock(tenant: Tenant) -> None:
    """The tenant's row first, as whoever removes a member does."""
    Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)


def _require_own_domain(tenant: Tenant, email: str) -> None:
    if not domains_of(tenant).filter(domain=email.rpartition("@")[2]).exists():
        raise Invalid("emails", "must be of an e-mail domain that the operator confirmed for this organisation")


def _require_new(tenant: Tenant, user: DirectoryUser, person: Person | None) -> None:
    if person is not None and (person.is_operator or not person.is_active):
        raise NotUnique("the address belongs to somebody who is not provisioned here")
    known = ScimUser.objects.filter(tenant=tenant)
    if known.filter(Q(user_name__iexact=user.user_name) | Q(person__email=user.email)).exists():
        raise NotUnique("there is such a user already")


def _columns(user: DirectoryUser) -> dict[str, object]:
    return {
        "user_name": user.user_name,
        "external_id": user.external_id,
        "display_name": user.display_name,
        "roles": list(user.roles),
    }


def _keep(row: ScimUser, user: DirectoryUser) -> None:
    for name, value in _columns(user).items():
        setattr(row, name, value)
    try:
        with transaction.atomic():
            row.save(update_fields=[*_columns(user), "changed_at"])
    except IntegrityError:
        raise NotUnique("there is such a user already") from None


def _change_person(row: ScimUser, before: DirectoryUser, after: DirectoryUser) -> None:
    """Name and address are the person's own in all tenants: the directory changes only whom it brought, while they
    belong nowhere else.
    """
    elsewhere = Membership.objects.filter(person=row.person).exclude(tenant=row.tenant)
    is_ours = row.made_person and not row.person.is_operator and not elsewhere.exists()
    if after.email != before.email:
        if not is_ours:
            raise NotTheDirectorys("the person's address is not the directory's to change")
        _require_own_domain(row.tenant, after.email)
        try:
            with transaction.atomic():
                Person.objects.filter(pk=row.person_id).update(email=after.email)
        except IntegrityError:
            raise NotUnique("the address is taken") from None
    if is_ours and after.display_name != before.display_name:
        Person.objects.filter(pk=row.person_id).update(name=after.display_name)


def _set_membership(token: ScimToken, row: ScimUser, user: DirectoryUser, now: datetime) -> None:
    """A member with the role that the rules give, or none."""
    if not user.is_active:
        _deactivate(token, row, now)
        return
    membership = Membership.objects.filter(tenant=token.tenant, person=row.person).first()
    role, projects = _given(token, user)
    if membership is None:
        if row.person.is_operator or not row.person.is_active:
            raise NotUnique("the address belongs to somebody who is not provisioned here")
        _require_may_touch(token, role)
        add_member(by=_us(token), person=row.person, role=role, projects=projects, source=Membership.Source.SCIM)
    elif membership.source == Membership.Source.SCIM and _differs(membership, role, projects):
        _require_may_touch(token, role)
        _require_may_touch(token, Role(membership.role))
        change_member(by=_us(token), person=row.person, role=role, projects=projects)


def _deactivate(token: ScimToken, row: ScimUser, now: datetime) -> None:
    """Nothing where the person is no member."""
    membership = Membership.objects.filter(tenant=token.tenant, person=row.person).first()
    if membership is None:
        return
    _require_may_touch(token, Role(membership.role))
    # Before the membership goes, so that the tenant's own chain tells of the sessions.
    if Membership.objects.filter(person=row.person).exclude(tenant=token.tenant).exists():
        provider = provider_of(token.tenant)
        if provider is not None:
            end_all(row.person, reason="directory", now=now, through=provider)
    else:
        end_all(row.person, reason="directory", now=now)
    remove_member(by=_us(token), person=row.person)
    _record(token, "deactivated", row.person)


def _given(token: ScimToken, user: DirectoryUser) -> tuple[Role, list[Project] | None]:
    return given_by(token.tenant, frozenset(user.roles)) or (Role.DEVELOPER, None)


def _differs(membership: Membership, role: Role, projects: list[Project] | None) -> bool:
    held, wanted = projects_of(membership), projects
    if role != membership.role or (held is None) != (wanted is None):
        return True
    return {project.pk for project in held or ()} != {project.pk for project in wanted or ()}


def _require_may_touch(token: ScimToken, role: Role) -> None:
    if role == Role.OWNER and not token.made_by_owner:
        raise Forbidden("only a token that an owner made makes or unmakes owners")


def _us(token: ScimToken) -> Caller:
    return Caller.system(COMPONENT, token.tenant)


def _record(token: ScimToken, what: str, person: Person, **detail: object) -> None:
    told = {"token": token.pk, **detail}
    actor = audit.Actor.system(COMPONENT)
    audit.record(tenant=token.tenant, actor=actor, action=f"scim_user.{what}", target=person, detail=told)
