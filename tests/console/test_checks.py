"""An unsafe installation does not start."""

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from pytest_django.fixtures import Settings


def test_debug_is_refused(settings: Settings) -> None:
    settings.DEBUG = True
    with pytest.raises(SystemCheckError, match="beffroi.E001"):
        call_command("check")


@pytest.mark.parametrize("secret", ["short", "-" * 60, "abcabcabcabcabcabcabcabcabcabcabcabcabc"])
def test_a_guessable_secret_is_refused(settings: Settings, secret: str) -> None:
    settings.SECRET_KEY = secret
    with pytest.raises(SystemCheckError, match="beffroi.E002"):
        call_command("check")


def test_plain_http_across_a_network_is_warned_of(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    settings.PUBLIC_URL = "http://models.example.org"
    call_command("check")
    assert "beffroi.W001" in capsys.readouterr().err


def test_the_settings_of_the_tests_pass(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("check")
    assert "no issues" in capsys.readouterr().out
