"""The environment is read strictly: a typo stops the start instead of being taken for something else."""

from pathlib import Path

import pytest

from console import env
from console.env import MisconfiguredError


def test_a_missing_secret_stops_the_start_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_SECRET", raising=False)
    with pytest.raises(MisconfiguredError, match="A_SECRET is not set.*make up"):
        env.secret("A_SECRET")


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    monkeypatch.setenv("A_SECRET_FILE", str(tmp_path / "secret"))
    assert env.secret("A_SECRET") == "from a file"


def test_a_secret_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("A_SECRET", "here")
    monkeypatch.setenv("A_SECRET_FILE", str(tmp_path / "and there"))
    with pytest.raises(MisconfiguredError, match="both set"):
        env.secret("A_SECRET")


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_secret_file_that_is_missing_or_empty_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "secret").write_text(content)
    monkeypatch.setenv("A_SECRET_FILE", str(tmp_path / "secret"))
    with pytest.raises(MisconfiguredError, match="A_SECRET_FILE"):
        env.secret("A_SECRET")


@pytest.mark.parametrize("value", ["0", "65536", "8000.0", "eight", "-1", "٨٠٠٠"])
def test_a_port_is_a_whole_number_within_its_bounds(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("A_PORT", value)
    with pytest.raises(MisconfiguredError, match="A_PORT"):
        env.integer("A_PORT", 8000, minimum=1, maximum=65535)


def test_a_switch_is_0_or_1_and_nothing_that_looks_like_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SWITCH", "0")
    assert env.switch("A_SWITCH", default=True) is False
    monkeypatch.setenv("A_SWITCH", "false")
    with pytest.raises(MisconfiguredError, match="must be 0 or 1"):
        env.switch("A_SWITCH", default=True)


@pytest.mark.parametrize("value", ["models.example.org", "ftp://models.example.org", "https://example.org/models"])
def test_a_public_address_is_a_scheme_and_a_host(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AN_ADDRESS", value)
    with pytest.raises(MisconfiguredError, match="AN_ADDRESS"):
        env.web_address("AN_ADDRESS", "")


def test_trusted_proxies_are_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PROXIES", "10.0.0.0/8, 2001:db8::1")
    assert [str(network) for network in env.networks("SOME_PROXIES")] == ["10.0.0.0/8", "2001:db8::1/128"]
    monkeypatch.setenv("SOME_PROXIES", "10.0.0.1/8")
    with pytest.raises(MisconfiguredError, match="SOME_PROXIES.*host bits"):
        env.networks("SOME_PROXIES")


def test_a_wrong_key_ring_is_refused_without_repeating_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEYS", "1:deadbeef")
    with pytest.raises(MisconfiguredError, match="SOME_KEYS") as refusal:
        env.keyring("SOME_KEYS")
    assert "deadbeef" not in str(refusal.value)
