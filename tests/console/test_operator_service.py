"""What the operator says of the service, on the page where it is said and wherever it shows."""

from collections.abc import Iterator

import pytest
from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from pytest_django import Settings

from console.set_up_list import State, set_up_lines
from identity.account import change_account
from identity.errors import Invalid
from identity.models import OperatorRole
from identity.notice_delivery import deliver_now
from identity.notices import notify
from identity.service import read_service
from tests.identity.test_service import png
from tests.support.console import page, signed_in
from tests.support.people import make_cast, make_operator
from tests.support.service import service_said

pytestmark = pytest.mark.usefixtures("database")
PAGE = "operator-service"


@pytest.fixture(autouse=True)
def put_back(database: None) -> Iterator[None]:
    with service_said():
        yield


def change(part: str) -> str:
    return reverse("operator-service-change", kwargs={"part": part})


def test_a_name_and_a_contact_show_wherever_people_look_for_them() -> None:
    cast, operator = make_cast(), signed_in(make_operator())
    sent = {"name": "Modèles de la Ville", "support_email": "Aide@ville.example", "support_url": "https://aide.example"}
    shown = page(operator.post(change("names"), sent, follow=True))
    assert "Modèles de la Ville" in shown
    for address, reader in (
        (reverse("overview", kwargs={"slug": cast.tenant.slug}), cast.alice),
        ("/sign-in", None),
        ("/operator/sign-in", None),
    ):
        shown = page(signed_in(reader).get(address))
        assert ">Modèles de la Ville<" in shown
        assert "aide@ville.example" in shown
        assert "https://aide.example" in shown
    lost = page(signed_in(None).get("/no-such-page", headers={"X-Request-Id": "r-1"}), 404)
    assert "Modèles de la Ville" in lost
    assert "aide@ville.example" in lost


def test_a_mail_comes_from_the_service_and_says_whom_to_ask(settings: Settings) -> None:
    settings.MAIL_IS_SET_UP, settings.DEFAULT_FROM_EMAIL = True, "noreply@ville.example"
    cast = make_cast()
    with service_said(name="Modèles", support_phone="01 23 45", languages=["fr"], default_language="fr"):
        context = {"model": "m", "ends_on": "2027-03-01", "replacement": "large"}
        notice = notify(cast.tenant, "model.deprecated", context=context)
        delivery = notice.deliveries.get(person=cast.alice, channel="email")
        deliver_now(delivery)
    message = mail.outbox[-1]
    assert message.from_email == "=?utf-8?q?Mod=C3=A8les?= <noreply@ville.example>"
    text = str(message.body).replace("\N{NO-BREAK SPACE}", " ")
    assert "Modèles · Assistance : 01 23 45" in text
    assert "Choose" not in text


def test_languages_that_are_not_offered_are_nobodys_choice() -> None:
    cast = make_cast()
    operator = signed_in(make_operator())
    sent = {"languages": ["fr", "es"], "default_language": "fr"}
    page(operator.post(change("languages"), sent, follow=True))
    shown = page(signed_in(cast.alice).get(reverse("account")))
    assert '<html lang="fr"' in shown
    assert "Français" in shown
    assert "English" not in shown
    for asked, answered in {"en": "fr", "es-MX,en;q=0.5": "es", "en, es;q=0.2": "es", "": "fr"}.items():
        assert f'<html lang="{answered}"' in page(signed_in(None).get("/sign-in", headers={"Accept-Language": asked}))
    with pytest.raises(Invalid, match="language"):
        change_account(cast.alice, name="Alice", language="en", theme="system", time_zone="")


def test_a_choice_that_is_refused_is_told_at_its_field_and_changes_nothing() -> None:
    shown = page(signed_in(make_operator()).post(change("legal"), {"legal_name": "SA", "vat_number": "?"}))
    assert "Must begin with a country&#x27;s two letters" in shown
    assert not read_service().legal_name


def test_the_set_up_list_asks_what_the_service_is_to_its_organisations() -> None:
    def state() -> State:
        return next(line.state for line in set_up_lines() if line.key == "trade")

    assert state() == State.MISSING
    operator = signed_in(make_operator())
    assert reverse(PAGE) in page(operator.get(reverse("operator-set-up")))
    operator.post(change("trade"), {"trade": "chargeback"})
    assert (state(), read_service().trade) == (State.DONE, "chargeback")


def test_a_logo_is_shown_kept_for_ever_and_may_do_nothing() -> None:
    operator = signed_in(make_operator())
    file = SimpleUploadedFile("logo.svg", png(), "image/svg+xml")  # its name and type are what a browser says
    shown = page(operator.post(reverse("operator-service-logo"), {"logo": file}, follow=True))
    digest = read_service().logo_digest
    assert f"/operator/logo/{digest}" in shown
    assert f"/logo/{digest}" in page(signed_in(None).get("/sign-in"))
    answer = signed_in(None).get(f"/logo/{digest}")
    assert (answer.status_code, answer.content, answer["Content-Type"]) == (200, png(), "image/png")
    assert answer["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer["X-Content-Type-Options"] == "nosniff"
    policy = {one.strip() for one in answer["Content-Security-Policy"].split(";")}
    assert policy == {"default-src 'none'", "frame-ancestors 'none'", "sandbox"}
    assert "Cookie" not in answer.get("Vary", "")
    drawing = SimpleUploadedFile("logo.png", b"<svg onload='alert(1)'/>", "image/png")
    assert "Must be a PNG or a WebP picture" in page(operator.post(reverse("operator-service-logo"), {"logo": drawing}))
    operator.post(reverse("operator-service-logo-remove"))
    assert signed_in(None).get(f"/logo/{digest}").status_code == 404


def test_who_may_only_read_finds_nothing_to_press() -> None:
    billing = signed_in(make_operator(OperatorRole.BILLING))
    assert ">Save<" not in page(billing.get(reverse(PAGE)))
    assert billing.post(change("names"), {"name": "Mine"}).status_code == 403
