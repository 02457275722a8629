"""What an installation keeps: made once, closed to others, never quietly made again."""

import json
import os
import stat
from pathlib import Path

import pytest

from console.supervisor import account
from console.supervisor.environment import adopt, complete, read_env_file
from console.supervisor.home import Home, HomeError, load_secrets, write_json


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.open()
    return made


def test_secrets_are_made_once_and_only_we_may_read_them(home: Home) -> None:
    made = load_secrets(home)
    assert load_secrets(home) == made
    assert stat.S_IMODE(home.secrets_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700


def test_lost_secrets_are_not_replaced_while_their_database_is_there(home: Home) -> None:
    load_secrets(home)
    home.secrets_file.unlink()
    (home.folder / "postgres").mkdir()
    with pytest.raises(HomeError, match="backup"):
        load_secrets(home)


def test_broken_secrets_are_not_replaced(home: Home) -> None:
    home.secrets_file.write_text('{"secret_key": "cut in the midd')
    with pytest.raises(HomeError, match="cannot be read"):
        load_secrets(home)


def test_only_one_start_has_the_home(home: Home) -> None:
    first = home.lock()
    assert first is not None
    assert home.lock() is None
    first.close()
    again = home.lock()
    assert again is not None
    again.close()


def test_sockets_lie_in_a_short_folder_of_our_own_however_deep_the_home(tmp_path: Path) -> None:
    deep = Home(tmp_path.joinpath(*["a-folder-with-a-long-name"] * 6))
    assert len(str(deep.sockets / "postgres/.s.PGSQL.5432")) < 107
    deep.sockets.symlink_to(tmp_path)  # what somebody else on this machine could do beforehand
    try:
        with pytest.raises(HomeError, match="somebody else"):
            deep.open()
    finally:
        deep.sockets.unlink()


def test_the_operators_own_servers_are_used_and_ours_made_up_for_the_rest(home: Home) -> None:
    secrets = load_secrets(home)
    environment = complete({"DATABASE_URL": "postgresql://theirs/db"}, home, secrets)
    assert environment["DATABASE_OWNER_URL"] == environment["DATABASE_GATEWAY_URL"] == "postgresql://theirs/db"
    assert environment["VALKEY_URL"].startswith(f"redis+socket://{home.sockets}")
    assert environment["BEFFROI_SECRET_KEY"] == secrets.secret_key


def test_a_secret_in_a_file_reaches_every_process(home: Home, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://theirs/db\n")
    environment = complete({"DATABASE_URL_FILE": str(tmp_path / "url")}, home, load_secrets(home))
    assert environment["DATABASE_URL"] == environment["DATABASE_GATEWAY_URL"] == "postgresql://theirs/db"
    assert not environment["DATABASE_URL_FILE"]


def test_a_command_without_an_installation_gets_nothing_made_up(tmp_path: Path) -> None:
    environment = {"BEFFROI_HOME": str(tmp_path / "nothing here")}
    adopt(environment, make=False)
    assert "DATABASE_URL" not in environment
    assert not (tmp_path / "nothing here").exists()


def test_an_env_file_is_read_as_it_is_meant(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# a comment\n\nBEFFROI_PORT = 8001\nBEFFROI_ENGINES='m=http://h:1'\n")
    assert read_env_file(tmp_path / ".env") == {"BEFFROI_PORT": "8001", "BEFFROI_ENGINES": "m=http://h:1"}
    (tmp_path / ".env").write_text("BEFFROI_PORT 8001\n")
    with pytest.raises(HomeError, match="line 1"):
        read_env_file(tmp_path / ".env")


def test_every_setting_of_the_example_is_one_that_is_read() -> None:
    """.env.example is documentation: a name in it that nobody reads is a lie."""
    root = Path(__file__).resolve().parent.parent.parent
    names = [line[1:].partition("=")[0] for line in (root / ".env.example").read_text().splitlines() if "=" in line]
    names = [name for name in names if name.isupper() and name.isidentifier()]
    code = "\n".join(
        path.read_text()
        for folder in ("console", "gateway", "billing", "identity")
        for path in (root / folder).rglob("*.py")
    )
    assert len(names) > 12
    assert not [name for name in names if f'"{name}"' not in code]


def test_a_json_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "demo.json"
    write_json(target, {"a": 1})
    write_json(target, {"b": 2})
    assert json.loads(target.read_text()) == {"b": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["demo.json"]


def test_the_folder_that_the_servers_account_reaches_is_open_under_any_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "SHARED_STATE", tmp_path / "lib/beffroi")
    before = os.umask(0o077)
    try:
        assert account.open_shared_state().stat().st_mode & 0o777 == 0o755
    finally:
        os.umask(before)
