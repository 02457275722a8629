"""What a provider's groups give, applied anew at every sign-in: memberships appear, change and go with the groups.

Only memberships that came from the groups of the same provider are touched; one by invitation or SCIM is never. Where
several rules fit one tenant, the first role in the order owner, administrator, developer, finance, auditor counts, in
all projects that the rules with this role name.

The shared provider has the groups of all tenants' people, and any tenant may write rules about them: so its groups make
a member only of who has an address of a domain that the operator confirmed for the tenant, or whom the operator's own
rules let in (`identity/group_feeds.py`). To anybody else's tenant they would give away who the person is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller
from identity.email_domains import domains_of
from identity.errors import Conflict, Invalid, NotFound
from identity.group_feeds import fed_among, roles_given
from identity.members import add_member, change_member, remove_member, require_may_give
from identity.models import (
    GroupRule,
    IdentityProvider,
    Membership,
    OperatorRole,
    Person,
    Project,
    Role,
    ScimUser,
    Tenant,
)
from identity.permissions import Permission, permissions_of_role
from identity.wording import clean_name

RULES_MAX = 500  # of a tenant; each is read at every sign-in
_COMPONENT = "group_rules"
_ORDER = {role: place for place, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class _Grant:
    """What the groups give in one tenant. `project_ids` None: all projects."""

    role: Role
    project_ids: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the groups give in a tenant, None: nothing; whether that lets somebody in without an address of a confirmed
    domain; whether the operator's rules feed the tenant.
    """

    grant: _Grant | None
    may_enter: bool
    is_fed: bool


def add_rule(
    *, by: Caller, provider: IdentityProvider, group: str, role: Role, projects: Sequence[Project] | None = None
) -> GroupRule:
    """Members of the group are this in the caller's tenant from their next sign-in on; `projects` None: all of them.

    Raises `Forbidden` (only an owner writes rules for owners, and a key only for who may do no more than itself),
    `NotFound` (another's provider or project), `Invalid`, `Conflict` (a rule for the group is there, or too many).
    """
    by.require(Permission.MEMBER_UPDATE)
    require_may_give(by, role, projects)
    _require_own(by.tenant, provider, projects)
    group = clean_name(group, "group", 255)
    with transaction.atomic():
        if GroupRule.objects.filter(tenant=by.tenant).count() >= RULES_MAX:
            raise Conflict(_("there are %(count)s rules already") % {"count": RULES_MAX})
        try:
            with transaction.atomic():
                rule = GroupRule.objects.create(
                    provider=provider, group=group, tenant=by.tenant, role=role, in_all_projects=projects is None
                )
        except IntegrityError:
            raise Conflict(_("there is a rule for this group already")) from None
        rule.projects.set(projects or [])
        detail = {"group": group, "role": role.value, "projects": _ids(projects), "provider": provider.handle}
        audit.record(tenant=by.tenant, actor=by.actor, action="group_rule.added", target=rule, detail=detail)
    return rule


def remove_rule(*, by: Caller, rule_id: int) -> None:
    """Take a rule away; who is a member by it alone stops being one at the next sign-in. Raises as `add_rule`."""
    by.require(Permission.MEMBER_UPDATE)
    with transaction.atomic():
        rule = rules_of(by.tenant).select_for_update(of=("self",)).filter(pk=rule_id).first()
        if rule is None:
            raise NotFound("rule")
        require_may_give(by, Role(rule.role), None if rule.in_all_projects else list(rule.projects.all()))
        detail = {"group": rule.group, "role": rule.role}
        audit.record(tenant=by.tenant, actor=by.actor, action="group_rule.removed", target=rule, detail=detail)
        rule.projects.clear()
        rule.delete()


def rules_of(tenant: Tenant) -> QuerySet[GroupRule]:
    """The tenant's rules, by group."""
    return GroupRule.objects.filter(tenant=tenant).select_related("provider__tenant").order_by("group", "id")


def set_operator_groups(provider: IdentityProvider, groups: Mapping[str, OperatorRole], *, actor: audit.Actor) -> bool:
    """Say which groups of the operators' provider make operators of which role; an empty mapping leaves that to
    appointments. False where it was so. Raises `Invalid`.
    """
    if provider.audience != IdentityProvider.Audience.OPERATORS:
        raise Invalid("provider", "must be the operators'")
    wanted = {clean_name(group, "group", 255): role.value for group, role in groups.items()}
    with transaction.atomic():
        rules = GroupRule.objects.filter(provider=provider, tenant=None)
        if dict(rules.values_list("group", "role")) == wanted:
            return False
        rules.delete()
        for group, role in wanted.items():
            GroupRule.objects.create(provider=provider, group=group, tenant=None, role=role)
        audit.record(actor=actor, action="operator_groups.set", target=provider, detail={"groups": wanted})
    return True


def operator_roles(provider: IdentityProvider, groups: frozenset[str]) -> frozenset[OperatorRole] | None:
    """What the groups of the operators' provider make somebody; None where no groups are named: appointments decide."""
    rules = list(GroupRule.objects.filter(provider=provider, tenant=None).values_list("group", "role"))
    if not rules:
        return None
    return frozenset(OperatorRole(role) for group, role in rules if group in groups)


def apply(person: Person, provider: IdentityProvider, groups: frozenset[str]) -> None:
    """Make the person's memberships what the groups say now. One transaction a tenant: what fits one must not wait for
    another.
    """
    grants = _grants(provider, groups)
    let_in = roles_given(groups) if provider.audience == IdentityProvider.Audience.SHARED else {}
    mine = Membership.objects.filter(person=person, provider=provider, source=Membership.Source.GROUP)
    held = {membership.tenant_id: membership for membership in mine.select_related("tenant", "provider")}
    tenants = Tenant.objects.in_bulk([*grants.keys(), *let_in.keys(), *held.keys()])
    fed = fed_among(list(tenants)) if provider.tenant_id is None and tenants else frozenset()
    for tenant_id in sorted(tenants):
        if provider.tenant_id not in (None, tenant_id):
            continue  # a rule of a tenant's own provider is about that tenant
        grant, is_let_in = grants.get(tenant_id), tenant_id in let_in
        if is_let_in:
            grant = _with_role(grant, let_in[tenant_id])
        elif tenant_id in fed and not _has_a_domain_of(tenants[tenant_id], person):
            grant = None  # the tenant's own rules say what its people are, the operator's who they are
        entry = _Entry(grant, may_enter=provider.tenant_id is not None or is_let_in, is_fed=tenant_id in fed)
        _follow(person, tenants[tenant_id], provider, held.get(tenant_id), entry)


def _follow(person: Person, tenant: Tenant, provider: IdentityProvider, held: Membership | None, entry: _Entry) -> None:
    """Give, change or take away; in a suspended tenant that rules feed, nobody gets more."""
    grant = entry.grant
    is_closed = entry.is_fed and tenant.status == Tenant.Status.SUSPENDED
    if held is not None and grant is None:
        _remove(person, tenant)
    elif held is not None and grant is not None:
        if not is_closed or _is_no_more(grant, held):
            _change(person, tenant, held, grant)
    elif grant is not None and not is_closed and (entry.may_enter or _has_a_domain_of(tenant, person)):
        _add(person, tenant, provider, grant)


def given_by(tenant: Tenant, names: frozenset[str]) -> tuple[Role, list[Project] | None] | None:
    """Role and projects (None: all) that the tenant's rules give for groups of these names, whichever provider they are
    about; None where no rule fits.
    """
    fitting = list(GroupRule.objects.filter(tenant=tenant, group__in=list(names)).prefetch_related("projects"))
    if not fitting:
        return None
    grant = _grant_of(fitting)
    return grant.role, _projects(tenant, grant)


def _grants(provider: IdentityProvider, groups: frozenset[str]) -> dict[int, _Grant]:
    rules = GroupRule.objects.filter(provider=provider, group__in=list(groups), tenant__isnull=False)
    by_tenant: dict[int, list[GroupRule]] = {}
    for rule in rules.prefetch_related("projects"):
        assert rule.tenant_id is not None
        by_tenant.setdefault(rule.tenant_id, []).append(rule)
    return {tenant_id: _grant_of(fitting) for tenant_id, fitting in by_tenant.items()}


def _grant_of(rules: list[GroupRule]) -> _Grant:
    role = min((Role(rule.role) for rule in rules), key=_ORDER.__getitem__)
    fitting = [rule for rule in rules if rule.role == role]
    if any(rule.in_all_projects for rule in fitting):
        return _Grant(role, None)
    return _Grant(role, frozenset(project.pk for rule in fitting for project in rule.projects.all()))


def _add(person: Person, tenant: Tenant, provider: IdentityProvider, grant: _Grant) -> None:
    with transaction.atomic():
        if Membership.objects.filter(person=person, tenant=tenant).exists():
            return  # by invitation or SCIM: not ours to change
        if ScimUser.objects.filter(person=person, tenant=tenant).exists():
            return  # the directory deactivated them: a sign-in does not bring them back
        try:
            membership = add_member(by=_us(tenant), person=person, role=grant.role, projects=_projects(tenant, grant))
        except Conflict:
            return  # it came at the same moment
        Membership.objects.filter(pk=membership.pk).update(source=Membership.Source.GROUP, provider=provider)


def _change(person: Person, tenant: Tenant, membership: Membership, grant: _Grant) -> None:
    has = None if membership.in_all_projects else frozenset(membership.projects.values_list("pk", flat=True))
    if (membership.role, has) == (grant.role, grant.project_ids):
        return
    try:
        change_member(by=_us(tenant), person=person, role=grant.role, projects=_projects(tenant, grant))
    except (Conflict, NotFound):
        _tell_kept(person, tenant)


def _has_a_domain_of(tenant: Tenant, person: Person) -> bool:
    return domains_of(tenant).filter(domain=person.email.rpartition("@")[2]).exists()


def _with_role(grant: _Grant | None, role: Role) -> _Grant:
    """What the tenant's own rules give and what the operator's do, in the whole tenant: the stronger of the two."""
    if grant is None or _ORDER[role] < _ORDER[grant.role]:
        return _Grant(role, None)
    return _Grant(role, None) if role == grant.role else grant


def _is_no_more(grant: _Grant, held: Membership) -> bool:
    before = permissions_of_role(Role(held.role), in_all_projects=held.in_all_projects)
    after = permissions_of_role(grant.role, in_all_projects=grant.project_ids is None)
    if held.in_all_projects:
        return after <= before
    mine = frozenset(held.projects.values_list("pk", flat=True))
    return after <= before and grant.project_ids is not None and grant.project_ids <= mine


def _remove(person: Person, tenant: Tenant) -> None:
    try:
        remove_member(by=_us(tenant), person=person)
    except (Conflict, NotFound):
        _tell_kept(person, tenant)


def _tell_kept(person: Person, tenant: Tenant) -> None:
    """The last owner stays, whatever the groups say: somebody has to let the next one in."""
    with transaction.atomic():
        audit.record(tenant=tenant, actor=_us(tenant).actor, action="member.kept_as_last_owner", target=person)


def _projects(tenant: Tenant, grant: _Grant) -> list[Project] | None:
    if grant.project_ids is None:
        return None
    return list(Project.objects.filter(tenant=tenant, pk__in=grant.project_ids))


def _us(tenant: Tenant) -> Caller:
    return Caller.system(_COMPONENT, tenant)


def _require_own(tenant: Tenant, provider: IdentityProvider, projects: Sequence[Project] | None) -> None:
    is_shared = provider.audience == IdentityProvider.Audience.SHARED
    if provider.tenant_id != tenant.pk and not is_shared:
        raise NotFound("provider")
    if any(project.tenant_id != tenant.pk for project in projects or ()):
        raise NotFound("project")


def _ids(projects: Sequence[Project] | None) -> list[int] | None:
    return None if projects is None else sorted(project.pk for project in projects)
