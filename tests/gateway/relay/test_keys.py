"""The table of keys beside a plain dict, and what it weighs."""

import struct
import subprocess
import sys
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.relay import keys
from gateway.relay.keys import Key, KeyRow, KeyTable, PreviousSecret
from identity.client_address import parse_networks

LOOKUPS = [f"{letter * 9}{number}" for letter in "ab" for number in range(4)] + ["\0" * 10]
POLICIES = [
    msgspec.json.encode(policy).decode()
    for policy in (
        ([], [], [], []),
        (["inference"], ["m"], ["192.0.2.0/24"], ["https://one.example"]),
        (["inference"], [], [], ["https://one.example", "https://two.example"]),
    )
]
IDS = [*range(1, 7), 0x6161616161616161, 2**63 - 1]  # one that reads like a look-up
# Digests that look like other keys' look-ups: what is searched for must be found where it belongs.
DIGESTS = [(lookup.encode() * 4)[shift : shift + 32] for lookup in LOOKUPS for shift in (0, 3)]
# As PostgreSQL packs the secret before; the first has an id in it.
PREVIOUS = [
    struct.pack(">32shd", secret * 4, 7, 1_800_000_000.25) for secret in (IDS[0].to_bytes(8, "little"), b"p" * 8)
]
BIG = st.integers(0, 2**63 - 1)
ROWS = st.builds(
    KeyRow,
    st.sampled_from([*LOOKUPS, "short"]), st.sampled_from(IDS), BIG, BIG, BIG, st.sampled_from(DIGESTS),
    st.integers(1, 32_767), BIG, st.booleans(), st.booleans(), st.booleans(),
    st.sampled_from([b"", b"", *PREVIOUS]), st.sampled_from(POLICIES),
)  # fmt: skip


@pytest.fixture(autouse=True)
def two_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys lie close together, as in a table of millions."""
    monkeypatch.setattr(keys, "BUCKETS", 2)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(ROWS, st.sampled_from(IDS)), max_size=40))
def test_the_table_is_what_a_dict_would_be(changes: list[KeyRow | int]) -> None:
    table, model = KeyTable(), dict[int, KeyRow]()
    for change in changes:
        if isinstance(change, int):
            table.drop(change)
            model.pop(change, None)
            continue
        table.put(change)
        for key_id in [key_id for key_id, row in model.items() if key_id == change.id or row.lookup == change.lookup]:
            del model[key_id]
        if change.lookup != "short":
            model[change.id] = change
    assert_same(table, model)


def assert_same(table: KeyTable, model: dict[int, KeyRow]) -> None:
    assert len(table) == len(model)
    assert sorted(key_id for part in table.ids() for key_id in part) == sorted(model)
    assert {key_id: table.of_id(key_id) for key_id in IDS} == {
        key_id: key_of(model[key_id]) if key_id in model else None for key_id in IDS
    }
    by_lookup = {row.lookup: key_of(row) for row in model.values()}
    assert {lookup: table.get(lookup) for lookup in LOOKUPS} == {lookup: by_lookup.get(lookup) for lookup in LOOKUPS}
    policies = [msgspec.json.decode(policy) for policy in {row.policy for row in model.values()}]
    assert table.origins == Counter(origin for policy in policies for origin in policy[3])


def key_of(row: KeyRow) -> Key:
    scopes, models, ip_ranges, origins = msgspec.json.decode(row.policy)
    policy = keys.KeyPolicy(frozenset(scopes), frozenset(models), parse_networks(ip_ranges), frozenset(origins))
    previous = PreviousSecret(row.previous[:32], 7, 1_800_000_000.25) if row.previous else None
    return Key(*row[1:11], previous=previous, policy=policy)


def test_policies_that_no_key_has_any_more_are_forgotten() -> None:
    table = KeyTable()
    policy = '[["inference"],[],[],["https://%d.example"]]'
    for number in range(1000):
        table.put(KeyRow("a" * 10, 1, 1, 1, number, b"d" * 32, 1, 0, False, False, False, b"", policy % number))
    assert table.origins == {"https://999.example": 1}
    assert len(table._policies._texts) == 1


def test_ids_of_other_widths_are_refused_rather_than_cut() -> None:
    with pytest.raises(struct.error):
        KeyTable().put(KeyRow("a" * 10, 2**63, 1, 1, 1, b"d" * 32, 1, 0, False, False, False, b"", POLICIES[0]))


WEIGH = """
import random
import sys
from gateway.relay.keys import KeyRow, KeyTable

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def row(number):
    policy = '[["inference"],["model-%d"],[],[]]' % (number % 500)
    previous = random.randbytes(42) if number % 3 < len(sys.argv) - 1 else b""
    flags = False, False, False
    return KeyRow("%010d" % number, number, 7, 70, number, random.randbytes(32), 1, 0, *flags, previous, policy)

table, before = KeyTable(), resident()
for number in range(100_000):
    table.put(row(number))
print((resident() - before) / 100_000)
"""


@pytest.mark.parametrize("arguments", [[], ["a third of them rotated"]])
def test_a_key_weighs_less_than_200_bytes_all_in(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", WEIGH, *arguments], capture_output=True, text=True, check=True)
    assert 100 < float(done.stdout) < 200
