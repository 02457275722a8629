"""What PostgreSQL does when policy changes: versions rise, gateways hear of it, sound rows only."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from identity import projects, tenants
from identity.api_keys import revoke_api_key
from identity.models import ApiKey, Membership, Person, Project, Role, SignInLink, Tenant
from tests.support.operators import RUNS
from tests.support.people import TESTS, default_project, make_key, make_person, make_tenant

pytestmark = pytest.mark.usefixtures("database")


def key_version(key: ApiKey) -> int:
    return ApiKey.objects.values_list("policy_version", flat=True).get(pk=key.pk)


def tenant_version(tenant: Tenant) -> int:
    return Tenant.objects.values_list("policy_version", flat=True).get(pk=tenant.pk)


@pytest.fixture
def heard(gateway_database_url: str) -> Iterator[psycopg.Connection]:
    """A gateway's connection that listens."""
    with psycopg.connect(gateway_database_url, autocommit=True) as gateway:
        gateway.execute("listen beffroi_policy")
        yield gateway


def messages(gateway: psycopg.Connection) -> list[str]:
    return [notice.payload for notice in gateway.notifies(timeout=0.5)]


def test_a_changed_key_has_a_higher_version_and_its_tenant_the_old_one() -> None:
    tenant = make_tenant()
    key, _ = make_key(tenant)
    before, tenant_before = key_version(key), tenant_version(tenant)
    assert before > 0
    revoke_api_key(key, actor=TESTS)
    assert key_version(key) > before
    assert tenant_version(tenant) == tenant_before


def test_a_key_saved_from_a_stale_object_gets_a_higher_version_all_the_same() -> None:
    key, _ = make_key(make_tenant())
    stale = ApiKey.objects.get(pk=key.pk)
    ApiKey.objects.filter(pk=key.pk).update(name="first")
    before = key_version(key)
    stale.name = "second"
    stale.save()
    assert key_version(key) > before


def test_a_change_that_changes_nothing_raises_nothing() -> None:
    tenant = make_tenant()
    key, _ = make_key(tenant)
    versions = key_version(key), tenant_version(tenant)
    ApiKey.objects.filter(pk=key.pk).update(name=ApiKey.objects.get(pk=key.pk).name)
    Tenant.objects.filter(pk=tenant.pk).update(name=Tenant.objects.get(pk=tenant.pk).name)
    assert (key_version(key), tenant_version(tenant)) == versions


def test_a_changed_tenant_or_project_raises_the_tenants_version() -> None:
    tenant = make_tenant()
    versions = [tenant_version(tenant)]
    tenants.suspend_tenant(tenant, by=RUNS, reason="unpaid")
    versions.append(tenant_version(tenant))
    project = projects.create_project(tenant, "Second", actor=TESTS)
    versions.append(tenant_version(tenant))
    projects.archive_project(project, actor=TESTS)
    versions.append(tenant_version(tenant))
    assert versions == sorted(set(versions))
    assert versions[0] > 0


def test_versions_come_from_one_sequence() -> None:
    tenant = make_tenant()
    key, _ = make_key(tenant)
    other = make_tenant()
    assert tenant_version(tenant) < key_version(key) < tenant_version(other)


def test_gateways_hear_of_every_change_after_its_commit(heard: psycopg.Connection) -> None:
    tenant = make_tenant()
    project = default_project(tenant)
    key, _ = make_key(tenant)
    assert {f"tenant:{tenant.pk}", f"project:{project.pk}", f"key:{key.pk}"} <= set(messages(heard))
    with transaction.atomic():
        revoke_api_key(key, actor=TESTS)
        assert messages(heard) == []
    assert messages(heard) == [f"key:{key.pk}"]
    projects.archive_project(project, actor=TESTS)
    assert sorted(messages(heard)) == [f"project:{project.pk}", f"tenant:{tenant.pk}"]


def test_gateways_hear_of_a_deleted_key(heard: psycopg.Connection) -> None:
    key, _ = make_key(make_tenant())
    messages(heard)
    ApiKey.objects.filter(pk=key.pk).delete()
    assert messages(heard) == [f"key:{key.pk}"]


def test_a_gateway_reads_policy_and_nothing_about_people(gateway_database_url: str) -> None:
    with psycopg.connect(gateway_database_url, autocommit=True) as gateway:
        for table in ("identity_tenant", "identity_project", "identity_apikey"):
            gateway.execute(f"select * from {table} limit 1".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                gateway.execute(f"delete from {table}".encode())
        for table in ("identity_person", "identity_signinlink", "identity_auditevent", "identity_membership"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                gateway.execute(f"select * from {table}".encode())


def test_functions_are_nobodys_until_granted() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "select proname from pg_proc p join pg_namespace n on n.oid = pronamespace where nspname = 'public'"
            " and exists (select from aclexplode(coalesce(proacl, acldefault('f', proowner))) where grantee = 0)"
            " and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')"  # of an extension
        )
        assert cursor.fetchall() == []


def test_I6_a_key_cannot_be_in_another_tenants_project() -> None:
    key, _ = make_key(make_tenant())
    elsewhere = default_project(make_tenant())
    with pytest.raises(IntegrityError, match="api_key_is_in_a_project_of_its_tenant"):
        ApiKey.objects.filter(pk=key.pk).update(project=elsewhere)


def test_I6_a_project_stays_with_its_tenant() -> None:
    project = projects.create_project(make_tenant(), "Only here", actor=TESTS)
    with pytest.raises(IntegrityError, match="stays with its tenant"):
        Project.objects.filter(pk=project.pk).update(tenant=make_tenant())


def test_nonsense_is_refused_by_the_database_itself() -> None:
    tenant = make_tenant()
    person = make_person("alice", tenant, Role.OWNER)
    key, _ = make_key(tenant)
    with pytest.raises(IntegrityError, match="digest_is_a_digest"):
        ApiKey.objects.filter(pk=key.pk).update(digest=b"short")
    with pytest.raises(IntegrityError, match="tenant_status_is_a_known_one"):
        Tenant.objects.filter(pk=tenant.pk).update(status="odd")
    with pytest.raises(IntegrityError, match="project_status_is_a_known_one"):
        Project.objects.filter(tenant=tenant).update(status="odd")
    with pytest.raises(IntegrityError, match="membership_role_is_a_known_one"):
        Membership.objects.filter(tenant=tenant).update(role="king")
    with pytest.raises(IntegrityError, match="person_email_is_in_lower_case"):
        Person.objects.create(email=f"Alice-{uuid.uuid4().hex}@Example.org")
    with pytest.raises(IntegrityError, match="sign_in_link_digest_is_a_digest"):
        SignInLink.objects.create(person=person, digest=b"short", expires_at=timezone.now())
