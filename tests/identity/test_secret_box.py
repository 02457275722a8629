"""Secrets at rest."""

from pathlib import Path

import pytest

from identity import secret_box
from identity.keyring import KeyringError, keyring_in
from identity.secret_box import SecretBox, SecretBoxError

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def test_what_is_sealed_opens_again_and_is_not_readable() -> None:
    box = SecretBox({1: OLD})
    sealed = box.seal(b"the engine's key", "replica:1")
    assert b"engine" not in sealed
    assert len(sealed) == len(b"the engine's key") + 31
    assert box.open_sealed(sealed, "replica:1") == b"the engine's key"
    assert box.open_sealed(box.seal(b"", "empty"), "empty") == b""


def test_the_same_secret_never_looks_the_same() -> None:
    box = SecretBox({1: OLD})
    assert len({box.seal(b"secret", "here") for _ in range(1_000)}) == 1_000


def test_a_sealed_secret_copied_to_another_row_does_not_open() -> None:
    box = SecretBox({1: OLD})
    with pytest.raises(SecretBoxError, match="another context"):
        box.open_sealed(box.seal(b"secret", "replica:1"), "replica:2")


def test_every_changed_byte_is_noticed() -> None:
    box = SecretBox({1: OLD, 2: NEW})
    sealed = box.seal(b"secret", "here")
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(SecretBoxError):
            box.open_sealed(bytes(changed), "here")
    for length in range(len(sealed)):
        with pytest.raises(SecretBoxError):
            box.open_sealed(sealed[:length], "here")


def test_rotation_opens_the_old_seals_the_new_and_ends() -> None:
    before = SecretBox({1: OLD}).seal(b"secret", "here")
    during = SecretBox({1: OLD, 2: NEW})
    assert during.open_sealed(before, "here") == b"secret"
    assert not during.is_current(before)
    resealed = during.reseal(before, "here")
    assert during.is_current(resealed)
    after = SecretBox({2: NEW})
    assert after.open_sealed(resealed, "here") == b"secret"
    with pytest.raises(SecretBoxError, match="key 1: not in BEFFROI_ENCRYPTION_KEYS"):
        after.open_sealed(before, "here")


def test_the_processs_own_box_takes_its_keys_from_the_environment() -> None:
    assert secret_box.open_sealed(secret_box.seal(b"secret", "here"), "here") == b"secret"
    assert secret_box.open_sealed(memoryview(secret_box.seal(b"secret", "here")), "here") == b"secret"


def test_keys_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"7:{NEW.hex()}\n")
    assert keyring_in({"KEYS_FILE": str(file)}, "KEYS") == {7: NEW}
    assert keyring_in({"KEYS": f"7:{NEW.hex()}"}, "KEYS") == {7: NEW}


@pytest.mark.parametrize("environment", [{}, {"KEYS": ""}, {"KEYS": "rubbish"}, {"KEYS_FILE": "/nonexistent"}])
def test_missing_or_wrong_keys_are_named_but_not_repeated(environment: dict[str, str]) -> None:
    with pytest.raises(KeyringError, match="^KEYS: ") as refusal:
        keyring_in(environment, "KEYS")
    assert "rubbish" not in str(refusal.value)
