"""An account that was made anew at the provider: the old one is unlinked, and the new one links."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from identity.access import Caller
from identity.errors import Conflict, Forbidden, NotFound
from identity.members import add_member
from identity.models import AuditEvent, IdentityProvider, LinkedIdentity, Role
from identity.providers import ProviderSettings
from identity.unlinking import unlink_member
from tests.console.sign_in.conftest import (
    Door,
    browser,
    comes_back,
    goes_to,
    path_of,
    use_own_provider,
    use_platform_provider,
    who_is_in,
)
from tests.support.console import page, signed_in
from tests.support.ledger import unique
from tests.support.people import Cast, as_member, make_cast, make_person
from tests.support.rude_provider import CLIENT, SECRET


def test_who_got_a_new_account_at_the_provider_comes_in_once_the_old_one_is_unlinked(cast: Cast, door: Door) -> None:
    email = f"nadia@{door.domain}"
    door.says("old", email=email)
    before = browser()
    comes_back(before, door)
    nadia = who_is_in(before)
    assert nadia
    add_member(by=Caller.system("tests", cast.tenant), person=nadia, role=Role.DEVELOPER)
    door.says("new", email=email)
    after = browser()
    page(comes_back(after, door), 403)

    member = f"/t/{cast.tenant.slug}/members/{nadia.pseudonym}"
    alice = signed_in(cast.alice)
    assert f"{member}/unlink" in page(alice.get(member))
    shown = page(alice.post(f"{member}/unlink", follow=True))
    assert f"{member}/unlink" not in shown
    assert who_is_in(before) is None
    comes_back(after, door)
    assert who_is_in(after) == nadia
    told = AuditEvent.objects.get(tenant=cast.tenant, action="person.unlinked")
    assert (told.actor, told.target) == (str(cast.alice.pseudonym), str(nadia.pseudonym))
    door.says("old", email=email)
    page(comes_back(browser(), door), 403)


def test_an_account_at_a_provider_of_all_is_unlinked_by_the_operator_alone(cast: Cast, door: Door) -> None:
    shared = use_platform_provider(IdentityProvider.Audience.SHARED, door.provider.issuer)
    door.says("bob", email=cast.bob.email)
    client = browser()
    client.get(path_of(door.provider.authorize(goes_to(client, "/sign-in/with/shared"))))
    assert who_is_in(client) == cast.bob
    own = as_member(cast.alice, cast.tenant)
    with pytest.raises(Conflict):
        unlink_member(by=own, person=cast.bob, now=timezone.now())
    call_command("unlink_person", cast.bob.email, "shared", stdout=StringIO())
    assert who_is_in(client) is None
    assert not LinkedIdentity.objects.filter(person=cast.bob, issuer=shared.issuer).exists()
    with pytest.raises(CommandError, match="not linked"):
        call_command("unlink_person", cast.bob.email, "shared")


def test_I6_an_account_that_opens_another_organisation_too_is_not_one_organisations_to_unlink(
    cast: Cast, door: Door
) -> None:
    """Both have the same provider of their own: who is linked anew for the one would be in at the other."""
    other = make_cast()
    use_own_provider(other, ProviderSettings(issuer=door.provider.issuer, client_id=CLIENT, client_secret=SECRET))
    door.says("old", email=f"nadia@{door.domain}")
    comes_back(before := browser(), door)
    nadia = who_is_in(before)
    assert nadia
    for tenant in (cast.tenant, other.tenant):
        add_member(by=Caller.system("tests", tenant), person=nadia, role=Role.DEVELOPER)
    with pytest.raises(Conflict):
        unlink_member(by=as_member(cast.alice, cast.tenant), person=nadia, now=timezone.now())
    assert who_is_in(before) == nadia


def test_only_an_owner_unlinks_an_owner(cast: Cast, door: Door) -> None:
    adam = as_member(make_person("adam", cast.tenant, Role.ADMINISTRATOR), cast.tenant)
    LinkedIdentity.objects.create(person=cast.alice, issuer=door.provider.issuer, subject=unique("s"))
    with pytest.raises(Forbidden):
        unlink_member(by=adam, person=cast.alice, now=timezone.now())
    unlink_member(by=as_member(cast.alice, cast.tenant), person=cast.alice, now=timezone.now())
    with pytest.raises(NotFound):
        unlink_member(by=as_member(cast.alice, cast.tenant), person=cast.alice, now=timezone.now())
