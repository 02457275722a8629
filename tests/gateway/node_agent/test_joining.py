"""A machine becomes a node once, even when the answer is lost, and keeps its secrets to itself."""

import json
from pathlib import Path

import pytest

from gateway.node_agent.joining import JoinError, Membership, membership
from tests.gateway.node_agent.platform import NODE, Platform


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


def join(platform: Platform, home: Path, token: str = "") -> Membership:
    return membership(home, platform.url, token or platform.token, "1.0")


def test_a_token_is_used_once_and_the_answer_kept(platform: Platform, home: Path) -> None:
    first = join(platform, home)
    assert (first.name, first.queue, first.broker_url) == (NODE, f"beffroi.node.{NODE}", platform.broker_url)
    assert first.platform.public_bytes_raw() == platform.key.public_key().public_bytes_raw()
    again = [join(platform, home), membership(home, "", "", "1.0")]
    assert len(platform.joins) == 1
    assert {one.own.private_bytes_raw() for one in again} == {first.own.private_bytes_raw()}
    assert {path.stat().st_mode & 0o777 for path in home.iterdir()} == {0o600}


def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_key(platform: Platform, home: Path) -> None:
    platform.lose_next_answer = True
    with pytest.raises(JoinError, match="cannot be reached"):
        join(platform, home)
    assert join(platform, home).name == NODE
    assert platform.joins[0] == platform.joins[1]


def test_a_new_token_joins_anew(platform: Platform, home: Path) -> None:
    join(platform, home)
    platform.token = "bfn_another"
    assert join(platform, home).name == NODE
    assert [one["token"] for one in platform.joins][1] == "bfn_another"


def test_only_digests_of_tokens_are_kept(platform: Platform, home: Path) -> None:
    join(platform, home)
    assert platform.token not in (home / "joined.json").read_text()


@pytest.mark.parametrize(
    ("url", "token", "words"),
    [
        ("", "", "give --platform and --token"),
        ("", "bfn_x", "give --platform and --token"),
        ("http://models.example.org", "bfn_x", "has to begin with https://"),
        ("ftp://127.0.0.1", "bfn_x", "cannot be reached"),
        ("http://127.0.0.1:1", "bfn_x", "cannot be reached"),
    ],
)
def test_what_is_missing_is_told(home: Path, url: str, token: str, words: str) -> None:
    with pytest.raises(JoinError, match=words):
        membership(home, url, token, "1.0")


def test_a_token_that_the_platform_does_not_know_is_told(platform: Platform, home: Path) -> None:
    with pytest.raises(JoinError, match="does not know this token"):
        join(platform, home, "bfn_wrong")
    assert not (home / "joined.json").exists()


def test_why_the_platform_cannot_take_the_machine_in_is_told(platform: Platform, home: Path) -> None:
    platform.refusal = "The broker has no user for this node."
    with pytest.raises(JoinError, match="did not take this machine in: The broker has no user for this node"):
        join(platform, home)
    platform.refusal = ""
    assert join(platform, home).name == NODE


def test_files_that_were_damaged_are_told(platform: Platform, home: Path) -> None:
    join(platform, home)
    kept = json.loads((home / "joined.json").read_text())
    (home / "joined.json").write_text(json.dumps({**kept, "platform_public_key": "AAAA"}))
    with pytest.raises(JoinError, match="public key"):
        join(platform, home)
    (home / "joined.json").write_text("{")
    with pytest.raises(JoinError, match="joined.json cannot be read"):
        join(platform, home)
    (home / "key").write_text("%")
    with pytest.raises(JoinError, match="key cannot be read"):
        join(platform, home)
