"""The frame of every page: what a role may not use is absent, and whoever is not signed in is led back afterwards."""

import re

import pytest

from identity.access import Caller
from identity.members import add_member
from identity.models import Role
from tests.support.console import page, signed_in
from tests.support.people import Cast, make_cast, make_person, make_tenant


@pytest.fixture
def cast(database: None) -> Cast:
    return make_cast()


def navigation(shown: str) -> list[str]:
    (nav,) = re.findall(r'<nav aria-label="Main">(.*?)</nav>', shown, re.DOTALL)
    return re.findall(r"<span>(.*?)</span>", nav)


def test_navigation_shows_what_the_role_may_use(cast: Cast) -> None:
    home = f"/t/{cast.tenant.slug}/quick-start"
    owner = navigation(page(signed_in(cast.alice).get(home)))
    developer = navigation(page(signed_in(cast.bob).get(home)))
    finance = navigation(page(signed_in(make_person("fatima", cast.tenant, Role.FINANCE)).get(home)))
    assert {"Overview", "Keys", "Members", "Audit", "Settings"} <= set(owner)
    assert "Keys" in developer
    assert not {"Members", "Audit", "Settings"} & set(developer)
    assert "Billing" in finance
    assert "Keys" not in finance


def test_where_one_is_is_marked_once(cast: Cast) -> None:
    shown = page(signed_in(cast.alice).get(f"/t/{cast.tenant.slug}/"))
    assert len(re.findall(r'<li><a href="[^"]+" aria-current="page">', shown)) == 1


def test_organisations_to_switch_to_are_shown_only_to_whom_has_a_choice(cast: Cast) -> None:
    home = f"/t/{cast.tenant.slug}/quick-start"
    assert "All organisations" not in page(signed_in(cast.alice).get(home))
    other = make_tenant("Another one")
    add_member(by=Caller.system("tests", other), person=cast.alice, role=Role.AUDITOR)
    shown = page(signed_in(cast.alice).get(home))
    assert "All organisations" in shown
    assert f'/t/{other.slug}/"' in shown


def test_who_is_not_signed_in_comes_back_to_the_page_afterwards(cast: Cast) -> None:
    address = f"/t/{cast.tenant.slug}/search?q=a%26b"
    response = signed_in(None).get(address)
    assert response.status_code == 302
    assert response["Location"] == f"/sign-in?next=%2Ft%2F{cast.tenant.slug}%2Fsearch%3Fq%3Da%2526b"


def test_a_part_of_a_page_sends_the_whole_page_to_the_sign_in(cast: Cast) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": f"http://localhost/t/{cast.tenant.slug}/search?q=a"}
    response = signed_in(None).get(f"/t/{cast.tenant.slug}/search?q=ab", headers=headers)
    assert response.status_code == 204
    assert response["HX-Redirect"] == f"/sign-in?next=%2Ft%2F{cast.tenant.slug}%2Fsearch%3Fq%3Da"


def test_a_stranger_and_nobody_get_the_same_page(cast: Cast) -> None:
    stranger = signed_in(cast.charlie).get(f"/t/{cast.tenant.slug}/")
    nowhere = signed_in(cast.charlie).get("/t/there-is-none/")
    assert page(stranger, 404) == page(nowhere, 404)


def test_an_error_page_names_the_request(cast: Cast) -> None:
    response = signed_in(cast.alice).get("/t/there-is-none/", headers={"X-Request-Id": "01a1fdcb-0b1a-7f56"})
    assert "01a1fdcb-0b1a-7f56" in page(response, 404)


def test_pages_come_in_the_reader_s_language(cast: Cast) -> None:
    type(cast.alice).objects.filter(pk=cast.alice.pk).update(language="fr")
    shown = page(signed_in(cast.alice).get(f"/t/{cast.tenant.slug}/quick-start"))
    assert '<html lang="fr"' in shown
