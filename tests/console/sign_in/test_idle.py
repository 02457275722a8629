"""A session without use: what counts as use, and what becomes of a page whose person went away."""

import re
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from identity.models import SignIn
from tests.support.console import signed_in
from tests.support.people import Cast


def test_a_page_that_is_opened_is_use_and_one_that_asks_by_itself_is_none(cast: Cast) -> None:
    alice, before = signed_in(cast.alice), timezone.now() - timedelta(minutes=50)
    SignIn.objects.filter(person=cast.alice).update(last_seen_at=before)
    overview = f"/t/{cast.tenant.slug}/"
    for path in (overview, "/notices/bell"):
        asked = alice.get(path, HTTP_HX_REQUEST="true", HTTP_X_BEFFROI_UNATTENDED="1")
        assert asked.status_code == 200
    assert SignIn.objects.get(person=cast.alice).last_seen_at == before
    alice.get(overview, HTTP_HX_REQUEST="true")
    assert SignIn.objects.get(person=cast.alice).last_seen_at > before


def test_every_part_of_a_page_that_asks_by_itself_says_so() -> None:
    templates = Path(settings.BASE_DIR) / "templates"
    asking = [
        (path.name, tag)
        for path in templates.rglob("*.html")
        for tag in re.findall(r"<\w+[^<>]*?hx-trigger=\"(?:[^\"]*?)(?:live|every)[^<>]*", path.read_text())
    ]
    assert len(asking) >= 3
    assert not [name for name, tag in asking if "X-Beffroi-Unattended" not in tag]


def test_who_did_nothing_for_too_long_is_led_to_the_sign_in_page_and_back(cast: Cast) -> None:
    alice, overview = signed_in(cast.alice), f"/t/{cast.tenant.slug}/"
    SignIn.objects.filter(person=cast.alice).update(last_seen_at=timezone.now() - timedelta(hours=2))
    assert alice.get(overview)["Location"].startswith("/sign-in?next=")
    asked = alice.get(overview, HTTP_HX_REQUEST="true", HTTP_HX_CURRENT_URL=f"http://localhost{overview}")
    assert asked["HX-Redirect"] == alice.get(overview)["Location"]
