"""The text of a key."""

import math
import random
import re
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import key_format
from identity.key_format import digest, find_key, make_key, matches, parse_key, peppers_from_environment
from identity.keyring import KeyringError, current

PEPPER = bytes(range(32))
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_a_new_key_parses_to_its_lookup() -> None:
    text, lookup = make_key()
    parsed = parse_key(text)
    assert parsed is not None
    assert parsed.lookup == lookup
    assert parsed == parse_key(text.encode())
    assert re.fullmatch(r"bfr_[0-9A-Za-z]{10}_[0-9A-Za-z]{33}_[0-9A-Za-z]{6}", text)


def test_the_secret_has_at_least_192_bits_and_uses_the_whole_alphabet() -> None:
    assert key_format.SECRET_LENGTH * math.log2(len(ALPHABET)) >= 192
    secrets = "".join(make_key()[0].split("_")[2] for _ in range(400))
    assert set(secrets) == set(ALPHABET)
    counts = [secrets.count(character) for character in ALPHABET]
    assert max(counts) < 2 * len(secrets) / 62  # 13,200 draws: twice the mean would be 15 standard deviations away


def test_no_two_keys_are_alike() -> None:
    assert len({make_key()[0] for _ in range(2_000)}) == 2_000


def test_every_single_typo_is_refused_without_a_look_up() -> None:
    text, _ = make_key()
    for at in range(len(text)):
        for other in ALPHABET + "_-é":
            if other != text[at]:
                assert parse_key(text[:at] + other + text[at + 1 :]) is None


def test_two_characters_swapped_lost_or_doubled_are_refused() -> None:
    text, _ = make_key()
    for at in range(len(text) - 1):
        swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        assert swapped == text or parse_key(swapped) is None
        assert parse_key(text[:at] + text[at + 1 :]) is None
        assert parse_key(text[:at] + text[at] + text[at:]) is None


@given(st.one_of(st.binary(max_size=80), st.text(max_size=80)))
def test_garbage_is_refused_and_never_raises(garbage: bytes | str) -> None:
    assert parse_key(garbage) is None


@given(st.binary(min_size=48, max_size=48))
def test_a_right_checksum_does_not_save_a_wrong_form(body: bytes) -> None:
    assert parse_key(body + b"_" + key_format._checksum(body)) is None


def test_the_digest_is_bound_to_the_lookup_and_the_pepper() -> None:
    first, second = parse_key(make_key()[0]), parse_key(make_key()[0])
    assert first is not None
    assert second is not None
    stored = digest(first.secret, PEPPER)
    assert len(stored) == 32
    assert matches(first.secret, PEPPER, stored)
    assert not matches(second.secret, PEPPER, stored)
    assert not matches(first.secret, bytes(32), stored)
    assert first.lookup.encode() in first.secret


def test_a_key_is_found_inside_other_text() -> None:
    text, _ = make_key()
    assert find_key(f"my key is {text}, do not tell".encode())
    assert find_key(f"bfr_{text}".encode())
    assert not find_key(text[:-1].encode())
    assert not find_key(f"{text[:-6]}000000".encode()) or text.endswith("000000")


def test_the_highest_pepper_is_the_current_one() -> None:
    peppers = peppers_from_environment(f"2:{'ab' * 32}, 1:{'00' * 32}")
    assert peppers == {1: bytes(32), 2: b"\xab" * 32}
    assert current(peppers) == (2, b"\xab" * 32)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1:abcd",
        f"0:{'00' * 32}",
        f"1:{'00' * 33}",
        f"1:{'00' * 32},1:{'11' * 32}",
        f"32768:{'00' * 32}",
        "1:" + "g" * 64,
    ],
)
def test_peppers_that_make_no_sense_are_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(KeyringError) as refusal:
        peppers_from_environment(text)
    assert "11" * 8 not in str(refusal.value)


def test_parsing_and_digesting_take_a_few_microseconds() -> None:
    keys = [make_key()[0].encode() for _ in range(1_000)]
    best = math.inf
    for _ in range(20):  # the best of many short runs: other work on the machine only ever adds
        begin = time.perf_counter()
        for key in keys:
            parsed = parse_key(key)
            assert parsed is not None
            digest(parsed.secret, PEPPER)
        best = min(best, (time.perf_counter() - begin) / len(keys))
    assert best < 20e-6


def test_the_relays_modules_import_no_django() -> None:
    modules = "key_format, scopes, client_address, secret_box, keyring"
    program = f"import sys; from identity import {modules}; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_a_random_flip_of_a_bit_is_refused() -> None:
    generator = random.Random(7)
    for _ in range(2_000):
        raw = bytearray(make_key()[0].encode())
        raw[generator.randrange(len(raw))] ^= 1 << generator.randrange(8)
        assert parse_key(bytes(raw)) is None
