"""An identity provider's settings: prepared, tried, in use, switched off; and the domains that are a tenant's."""

from dataclasses import replace

import pytest
from django.utils import timezone

from identity import email_domains, providers
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.models import AuditEvent, IdentityProvider, Person, ProviderVersion, Role, SignIn
from identity.providers import ProviderSettings
from identity.sign_ins import Client, begin, open_sign_in
from tests.support.ledger import unique
from tests.support.people import TESTS, Cast, as_member, make_cast, make_person

SETTINGS = ProviderSettings(issuer="https://login.example.org", client_id="beffroi", client_secret="hush")
NOW = timezone.now()

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def cast(database: None) -> Cast:
    return make_cast()


def tried(cast: Cast, settings: ProviderSettings = SETTINGS) -> ProviderVersion:
    version = providers.prepare_version(by=as_member(cast.alice, cast.tenant), settings=settings)
    providers.mark_tried(version, person=cast.alice, now=NOW)
    return version


def test_settings_take_effect_after_their_author_signed_in_with_them(cast: Cast) -> None:
    alice = as_member(cast.alice, cast.tenant)
    version = providers.prepare_version(by=alice, settings=SETTINGS)
    assert providers.active_version(version.provider) is None
    with pytest.raises(Conflict, match="sign in with these settings first"):
        providers.activate(version, by=alice, now=NOW)
    with pytest.raises(Conflict, match="only who prepared"):
        providers.mark_tried(version, person=cast.charlie, now=NOW)

    providers.mark_tried(version, person=cast.alice, now=NOW)
    providers.activate(version, by=alice, now=NOW)
    assert providers.active_version(version.provider) == version
    assert providers.version_for_tenant(cast.tenant.slug) == version
    assert providers.version_by_handle(f"tenant-{cast.tenant.slug}") == version
    actions = AuditEvent.objects.filter(tenant=cast.tenant, action__startswith="identity_provider").order_by("sequence")
    assert [event.action.partition(".")[2] for event in actions] == ["prepared", "tried", "activated"]


def test_a_change_leaves_the_door_as_it_is_until_it_was_tried(cast: Cast) -> None:
    first = tried(cast)
    alice = as_member(cast.alice, cast.tenant)
    providers.activate(first, by=alice, now=NOW)
    second = providers.prepare_version(by=alice, settings=replace(SETTINGS, client_id="other", client_secret=""))
    assert providers.active_version(first.provider) == first
    assert providers.client_secret(second) == "hush"
    providers.mark_tried(second, person=cast.alice, now=NOW)
    providers.activate(second, by=alice, now=NOW)
    assert providers.active_version(first.provider) == second
    first.refresh_from_db()
    assert first.state == ProviderVersion.State.OFF


def test_a_kept_secret_is_never_sent_to_another_issuer(cast: Cast) -> None:
    providers.activate(tried(cast), by=as_member(cast.alice, cast.tenant), now=NOW)
    elsewhere = replace(SETTINGS, issuer="https://elsewhere.example.org", client_secret="")
    with pytest.raises(Invalid, match="client_secret"):
        providers.prepare_version(by=as_member(cast.alice, cast.tenant), settings=elsewhere)


def test_the_secret_is_in_no_row_and_no_audit_record(cast: Cast) -> None:
    version = tried(cast, replace(SETTINGS, client_secret="a-very-secret-word"))
    assert b"a-very-secret-word" not in bytes(version.sealed_secret)
    assert providers.client_secret(version) == "a-very-secret-word"
    told = AuditEvent.objects.filter(tenant=cast.tenant).values_list("detail", flat=True)
    assert "a-very-secret-word" not in str(list(told))


def test_who_may_not_change_the_tenant_changes_no_door(cast: Cast) -> None:
    version = tried(cast)
    bob, stranger = as_member(cast.bob, cast.tenant), as_member(cast.charlie, cast.strangers)
    with pytest.raises(Forbidden):
        providers.prepare_version(by=bob, settings=SETTINGS)
    with pytest.raises(Forbidden):
        providers.activate(version, by=bob, now=NOW)
    with pytest.raises(NotFound):
        providers.activate(version, by=stranger, now=NOW)
    with pytest.raises(NotFound):
        providers.withdraw(version, by=stranger, now=NOW)
    with pytest.raises(NotFound):
        providers.switch_off(version.provider, by=stranger, now=NOW)


def test_I6_only_an_owner_puts_a_provider_to_use_as_it_vouches_for_owners_too(cast: Cast) -> None:
    adam = make_person("adam", cast.tenant, Role.ADMINISTRATOR)
    version = providers.prepare_version(by=as_member(adam, cast.tenant), settings=SETTINGS)
    providers.mark_tried(version, person=adam, now=NOW)
    with pytest.raises(Forbidden, match="only an owner"):
        providers.activate(version, by=as_member(adam, cast.tenant), now=NOW)
    assert providers.active_version(version.provider) is None
    providers.activate(version, by=as_member(cast.alice, cast.tenant), now=NOW)
    assert providers.active_version(version.provider) == version


def test_switching_a_provider_off_ends_the_sessions_that_it_vouched_for(cast: Cast) -> None:
    version = tried(cast)
    alice = as_member(cast.alice, cast.tenant)
    providers.activate(version, by=alice, now=NOW)
    key = unique("session")
    begin(
        person=cast.bob,
        session_key=key,
        door=SignIn.Door.PROVIDER,
        client=Client(),
        now=NOW,
        provider=version.provider,
    )
    assert open_sign_in(key)
    providers.switch_off(version.provider, by=alice, now=NOW)
    assert open_sign_in(key) is None
    assert providers.active_version(version.provider) is None
    with pytest.raises(Conflict):
        providers.switch_off(version.provider, by=alice, now=NOW)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"issuer": "http://login.example.org"}, "issuer"),
        ({"issuer": "https://login.example.org/?a=b"}, "issuer"),
        ({"issuer": "https://user:word@login.example.org"}, "issuer"),
        ({"issuer": "login.example.org"}, "issuer"),
        ({"issuer": "https://["}, "issuer"),
        ({"client_id": " "}, "client_id"),
        ({"client_secret": ""}, "client_secret"),
        ({"groups_claim": "two words"}, "groups_claim"),
        ({"required_acr": ("a\nb",)}, "required_acr"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused_by_name(cast: Cast, change: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        providers.prepare_version(by=as_member(cast.alice, cast.tenant), settings=replace(SETTINGS, **change))  # type: ignore[arg-type]
    assert refused.value.field == field


def test_an_address_leads_to_the_provider_of_its_domain_whether_or_not_it_is_anybodys(cast: Cast) -> None:
    domain = f"{unique('d').replace('_', '-').lower()}.example"
    email_domains.confirm_domain(cast.tenant, domain.upper(), actor=TESTS)
    version = tried(cast)
    before = providers.version_for_email(f"nobody@{domain}")
    assert before is None or before.provider.audience == IdentityProvider.Audience.SHARED
    providers.activate(version, by=as_member(cast.alice, cast.tenant), now=NOW)
    assert providers.version_for_email(f"Nobody@{domain.upper()}") == version
    assert Person.objects.filter(email=f"nobody@{domain}").exists() is False


def test_a_domain_is_one_tenants(cast: Cast) -> None:
    domain = f"{unique('d').replace('_', '-').lower()}.example"
    confirmed = email_domains.confirm_domain(cast.tenant, domain, actor=TESTS)
    assert email_domains.confirm_domain(cast.tenant, domain, actor=TESTS) == confirmed
    with pytest.raises(Conflict):
        email_domains.confirm_domain(cast.strangers, domain, actor=TESTS)
    email_domains.release_domain(confirmed, actor=TESTS)
    email_domains.confirm_domain(cast.strangers, domain, actor=TESTS)
    for wrong in ("example", "a b.example", "-a.example", "a..example", "exämple.org", "1.2.3.4"):
        with pytest.raises(Invalid):
            email_domains.confirm_domain(cast.tenant, wrong, actor=TESTS)


def test_the_operators_and_the_shared_provider_are_set_once_and_again() -> None:
    settings = replace(SETTINGS, issuer=f"https://{unique('i').replace('_', '-').lower()}.example.org")
    door = IdentityProvider.Audience.OPERATORS
    assert providers.set_provider(audience=door, name="Ops", settings=settings, actor=TESTS, now=NOW)
    assert not providers.set_provider(audience=door, name="Ops", settings=settings, actor=TESTS, now=NOW)
    changed = replace(settings, client_secret="another")
    assert providers.set_provider(audience=door, name="Ops", settings=changed, actor=TESTS, now=NOW)
    version = providers.operators_version()
    assert version
    assert version.issuer == settings.issuer
    assert providers.version_by_handle("operators") == version
    assert providers.version_by_handle("tenant-") is None
    ProviderVersion.objects.filter(provider=version.provider).update(state=ProviderVersion.State.OFF)
