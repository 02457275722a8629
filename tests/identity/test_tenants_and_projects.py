"""Tenants and their projects."""

import uuid

import pytest

from identity import projects, tenants
from identity.audit import told, verify_chain
from identity.errors import Conflict, Invalid
from identity.models import AuditEvent, Project, Tenant
from tests.support.operators import RUNS
from tests.support.people import TESTS, default_project, make_tenant

pytestmark = pytest.mark.usefixtures("database")


def actions_of(tenant: Tenant) -> list[str]:
    return list(AuditEvent.objects.filter(tenant=tenant).order_by("sequence").values_list("action", flat=True))


def test_a_new_tenant_is_active_and_has_the_default_project() -> None:
    slug = f"t-{uuid.uuid4().hex}"
    tenant = tenants.create_tenant(slug=slug, name=" Ville de Mons ", actor=TESTS, time_zone="Europe/Brussels")
    assert (tenant.slug, tenant.name, tenant.time_zone, tenant.status) == (
        slug,
        "Ville de Mons",
        "Europe/Brussels",
        "active",
    )
    assert [project.name for project in tenant.projects.all()] == ["Default"]
    assert tenant.policy_version > 0
    assert actions_of(tenant) == ["tenant.created"]


def test_a_slug_is_taken_once() -> None:
    tenant = make_tenant()
    before = Tenant.objects.count()
    with pytest.raises(Conflict):
        tenants.create_tenant(slug=tenant.slug, name="Another", actor=TESTS)
    assert Tenant.objects.count() == before
    assert actions_of(tenant) == ["tenant.created"]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("slug", {"slug": "with space"}),
        ("slug", {"slug": "Upper"}),
        ("slug", {"slug": ""}),
        ("slug", {"slug": "x" * 64}),
        ("slug", {"slug": "a/b"}),
        ("name", {"name": "  "}),
        ("name", {"name": "a\u2028b"}),
        ("time_zone", {"time_zone": "Europe/Atlantis"}),
        ("time_zone", {"time_zone": ""}),
        ("time_zone", {"time_zone": "../etc/passwd"}),
    ],
)
def test_a_tenant_that_makes_no_sense_is_refused_by_its_field(field: str, values: dict[str, str]) -> None:
    whole = {"slug": f"t-{uuid.uuid4().hex}", "name": "A tenant", "time_zone": "UTC"} | values
    with pytest.raises(Invalid) as invalid:
        tenants.create_tenant(slug=whole["slug"], name=whole["name"], time_zone=whole["time_zone"], actor=TESTS)
    assert invalid.value.field == field


def test_a_tenant_is_renamed_suspended_and_reactivated_and_the_chain_tells() -> None:
    tenant = make_tenant("Before")
    tenants.rename_tenant(tenant, "After", actor=TESTS)
    tenants.rename_tenant(tenant, "After", actor=TESTS)
    assert tenants.suspend_tenant(tenant, by=RUNS, reason="unpaid")
    assert not tenants.suspend_tenant(tenant, by=RUNS, reason="unpaid")
    assert tenant.status == "suspended"
    assert tenants.reactivate_tenant(tenant, by=RUNS, reason="paid")
    assert not tenants.reactivate_tenant(tenant, by=RUNS, reason="paid")
    assert (tenant.status, tenant.name) == ("active", "After")
    assert actions_of(tenant) == ["tenant.created", "tenant.renamed", "tenant.suspended", "tenant.reactivated"]
    renamed = AuditEvent.objects.get(tenant=tenant, action="tenant.renamed")
    assert told(renamed) == {"before": {"name": "Before"}, "after": {"name": "After"}}
    assert verify_chain(tenant).broken is None


def test_suspending_needs_a_reason() -> None:
    with pytest.raises(Invalid, match="reason"):
        tenants.suspend_tenant(make_tenant(), by=RUNS, reason=" ")


def test_a_project_is_created_changed_and_archived_and_the_chain_tells() -> None:
    tenant = make_tenant()
    project = projects.create_project(tenant, "Chat", actor=TESTS, cost_centre="CC-1")
    projects.change_project(project, name="Chatbot", cost_centre="", actor=TESTS)
    projects.change_project(project, name="Chatbot", cost_centre="", actor=TESTS)
    assert (project.name, project.cost_centre) == ("Chatbot", "")
    assert projects.archive_project(project, actor=TESTS)
    assert not projects.archive_project(project, actor=TESTS)
    assert project.status == "archived"
    assert actions_of(tenant) == ["tenant.created", "project.created", "project.changed", "project.archived"]
    changed = AuditEvent.objects.get(tenant=tenant, action="project.changed")
    assert told(changed) == {
        "before": {"name": "Chat", "cost_centre": "CC-1"},
        "after": {"name": "Chatbot", "cost_centre": ""},
    }


def test_the_models_of_a_project_are_changed_alone_audited_and_cleaned() -> None:
    project = projects.create_project(make_tenant(), "Chat", actor=TESTS, cost_centre="CC-1")
    assert project.allowed_models == []
    assert projects.change_project(project, allowed_models=[" small ", "org/large:8b", "small"], actor=TESTS)
    assert (project.allowed_models, project.cost_centre) == (["small", "org/large:8b"], "CC-1")
    assert not projects.change_project(project, allowed_models=["small", "org/large:8b"], actor=TESTS)
    changed = AuditEvent.objects.get(tenant=project.tenant, action="project.changed")
    assert told(changed) == {
        "before": {"allowed_models": []},
        "after": {"allowed_models": ["small", "org/large:8b"]},
    }
    for nonsense in (["é"], [""], ["x" * 201], [str(n) for n in range(201)], [f"{n}{'x' * 150}" for n in range(99)]):
        with pytest.raises(Invalid, match="allowed_models"):
            projects.change_project(project, allowed_models=nonsense, actor=TESTS)
    most = [f"{n:03}" + '"' * 47 for n in range(200)]
    projects.change_project(project, allowed_models=most, actor=TESTS)
    assert projects.change_project(project, allowed_models=[one[::-1] for one in most], actor=TESTS)  # fits the chain


def test_a_projects_name_is_taken_once_in_a_tenant_but_not_elsewhere() -> None:
    tenant = make_tenant()
    project = projects.create_project(tenant, "Chat", actor=TESTS)
    with pytest.raises(Conflict):
        projects.create_project(tenant, "Chat", actor=TESTS)
    with pytest.raises(Conflict):
        projects.change_project(project, name="Default", cost_centre="", actor=TESTS)
    assert Project.objects.get(pk=project.pk).name == "Chat"
    assert projects.create_project(make_tenant(), "Chat", actor=TESTS).name == "Chat"


def test_a_cost_centre_has_a_largest_length() -> None:
    project = default_project(make_tenant())
    with pytest.raises(Invalid, match="cost_centre"):
        projects.change_project(project, name="Default", cost_centre="x" * 65, actor=TESTS)
