"""The mail server's address in the environment."""

import pytest

from console.env import MisconfiguredError
from console.mail_server import mail_settings


@pytest.fixture(autouse=True)
def sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEFFROI_MAIL_FROM", "Beffroi <beffroi@example.org>")


def test_without_an_address_there_is_no_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BEFFROI_MAIL_URL", raising=False)
    assert mail_settings() == {}


@pytest.mark.parametrize(
    ("address", "port", "tls", "ssl"),
    [
        ("smtp://mail.example.org", 25, False, False),
        ("smtp+starttls://us%40er:pass%3Aword@mail.example.org", 587, True, False),
        ("smtps://us%40er:pass%3Aword@mail.example.org:4465", 4465, False, True),
    ],
)
def test_the_scheme_says_how_it_is_encrypted(
    monkeypatch: pytest.MonkeyPatch, address: str, port: int, *, tls: bool, ssl: bool
) -> None:
    monkeypatch.setenv("BEFFROI_MAIL_URL", address)
    found = mail_settings()
    assert (found["EMAIL_HOST"], found["EMAIL_PORT"]) == ("mail.example.org", port)
    assert (found["EMAIL_USE_TLS"], found["EMAIL_USE_SSL"]) == (tls, ssl)
    if "@mail" in address:
        assert (found["EMAIL_HOST_USER"], found["EMAIL_HOST_PASSWORD"]) == ("us@er", "pass:word")


@pytest.mark.parametrize("address", ["mail.example.org:25", "http://mail", "smtp://", "smtp://u:s3cret@h:port"])
def test_an_address_that_makes_no_sense_stops_the_start_without_being_repeated(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("BEFFROI_MAIL_URL", address)
    with pytest.raises(MisconfiguredError, match="must look like smtp") as caught:
        mail_settings()
    assert "s3cret" not in str(caught.value)


def test_a_mail_server_needs_a_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEFFROI_MAIL_URL", "smtp://mail.example.org")
    monkeypatch.delenv("BEFFROI_MAIL_FROM")
    with pytest.raises(MisconfiguredError, match="BEFFROI_MAIL_FROM is not set"):
        mail_settings()
