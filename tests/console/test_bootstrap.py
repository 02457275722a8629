"""The virtual environment is made again only when it must be."""

from pathlib import Path

import pytest

from console.supervisor import bootstrap


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone whose pip only notes what it was asked for; where `fail` exists, it is cut."""
    venv = tmp_path / ".venv"
    places = {"ROOT": tmp_path, "VENV": venv, "STAMP": venv / "stamp", "UNFINISHED": venv / "unfinished"}
    for name, value in places.items():
        monkeypatch.setattr(bootstrap, name, value)
    (tmp_path / "requirements.txt").write_text("-c constraints.txt\none==1\n")
    (tmp_path / "requirements-dev.txt").write_text("-r requirements.txt\ntwo==2\n")
    (tmp_path / "constraints.txt").write_text("one==1\n")

    def make_venv(_command: list[str]) -> None:
        (venv / "bin").mkdir()
        (venv / "bin/python").touch()

    def pip(requirements: str, _lock: int) -> None:
        if (tmp_path / "fail").exists():
            raise KeyboardInterrupt
        with (tmp_path / "pip.log").open("a") as log:
            log.write(f"{requirements}\n")

    monkeypatch.setattr(bootstrap, "run", make_venv)
    monkeypatch.setattr(bootstrap, "pip", pip)
    return tmp_path


def installations(clone: Path) -> list[str]:
    log = clone / "pip.log"
    return log.read_text().split() if log.exists() else []


def test_it_installs_once_and_then_does_nothing(clone: Path) -> None:
    assert bootstrap.main("requirements.txt") == bootstrap.main("requirements.txt") == 0
    assert installations(clone) == ["requirements.txt"]


@pytest.mark.parametrize("changed", ["requirements.txt", "constraints.txt"])
def test_it_installs_again_when_a_file_that_decides_has_changed(clone: Path, changed: str) -> None:
    bootstrap.main("requirements-dev.txt")
    (clone / changed).write_text("-c constraints.txt\none==2\n" if changed == "requirements.txt" else "one==2\n")
    bootstrap.main("requirements-dev.txt")
    assert installations(clone) == ["requirements-dev.txt"] * 2


def test_going_back_to_an_older_version_installs_that_one_again(clone: Path) -> None:
    old, new = "one==1\n", "one==2\n"
    for text in (old, new, old):
        (clone / "constraints.txt").write_text(text)
        bootstrap.main("requirements.txt")
    assert installations(clone) == ["requirements.txt"] * 3


def test_what_tests_need_does_not_make_up_install_again(clone: Path) -> None:
    for file in ("requirements.txt", "requirements-dev.txt", "requirements.txt", "requirements-dev.txt"):
        bootstrap.main(file)
    assert installations(clone) == ["requirements.txt", "requirements-dev.txt"]


def test_an_installation_that_was_cut_begins_again_from_nothing(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clone / "fail").touch()
    assert bootstrap.main("requirements.txt") == 130
    (clone / ".venv/half a package").touch()
    (clone / "fail").unlink()
    assert bootstrap.main("requirements.txt") == 0
    assert "cut short" in capsys.readouterr().out
    assert not (clone / ".venv/half a package").exists()


def test_a_python_that_is_too_old_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "OLDEST_PYTHON", (4, 0))
    assert bootstrap.main("requirements.txt") == 1
    assert "needs Python 4.0 or newer" in capsys.readouterr().err
