"""The list of outgoing connections, and its page."""

import pytest
from django.urls import reverse
from pytest_django import Settings

from console.connections import Connection, Destination, Kind, Place, connections, places_of
from identity.models import OperatorRole
from identity.webhooks import add_webhook
from tests.support.console import page, signed_in
from tests.support.ledger import unique
from tests.support.people import as_member, make_cast, make_operator

pytestmark = pytest.mark.usefixtures("database")


def line(kind: Kind) -> Connection:
    return next(one for one in connections() if one.kind == kind)


def test_a_webhook_is_listed_with_the_organisation_that_entered_it() -> None:
    cast, host = make_cast(), f"{unique('hooks').lower().replace('_', '-')}.example"
    add_webhook(by=as_member(cast.alice, cast.tenant), name="Alarms", url=f"https://{host}:8443/in")
    assert Destination(host, 8443, cast.tenant.name) in line(Kind.WEBHOOKS).destinations


def test_what_the_environment_says_is_listed_as_it_is(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MAIL_IS_SET_UP, settings.EMAIL_HOST, settings.EMAIL_PORT = True, "mail.example.org", 465
    settings.VALKEY_URL = "sentinel://10.0.0.1:26379;sentinel://[fd00::2]:26379"
    monkeypatch.setitem(settings.DATABASES["default"], "HOST", "db1,db2")
    monkeypatch.setitem(settings.DATABASES["default"], "PORT", "6432")
    monkeypatch.setenv("DATABASE_GATEWAY_URL", "postgresql://gateway:word@pooler.example.org/beffroi")
    monkeypatch.setenv("BEFFROI_MEDIA_HOSTS", "pictures.example.org")
    assert line(Kind.MAIL).destinations == (Destination("mail.example.org", 465),)
    assert [str(one) for one in line(Kind.BROKER).destinations] == ["10.0.0.1:26379", "[fd00::2]:26379"]
    servers = {str(one) for one in line(Kind.DATABASE).destinations}
    assert servers >= {"db1:6432", "db2:6432", "pooler.example.org:5432"}
    assert [str(one) for one in line(Kind.MEDIA).destinations] == ["pictures.example.org:443"]
    settings.MAIL_IS_SET_UP = False
    assert line(Kind.MAIL).destinations == ()


def test_an_address_is_here_in_the_house_or_outside() -> None:
    hosts = ("/run/postgresql", "::1", "10.1.2.3", "fd00::1", "9.9.9.9", "64:ff9b::909:909")
    shown = connections()[0]
    told = Connection(
        Kind.MAIL, shown.title, shown.purpose, shown.made_by, "", tuple(Destination(host, 1) for host in hosts)
    )
    places = places_of([told], seconds=5)
    found = [places[host] for host in hosts]
    assert found == [Place.MACHINE] * 2 + [Place.INSIDE] * 2 + [Place.OUTSIDE] * 2


def test_everybody_who_runs_the_platform_sees_the_page(settings: Settings) -> None:
    settings.MAIL_IS_SET_UP, settings.EMAIL_HOST, settings.EMAIL_PORT = True, "9.9.9.9", 465
    shown = page(signed_in(make_operator(OperatorRole.SUPPORT)).get(reverse("operator-connections")))
    assert "no telemetry" in shown
    assert "9.9.9.9:465" in shown
    assert "outside the house" in shown
