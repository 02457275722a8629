"""All API keys, looked up by their text's `lookup` or by their id: some 140 bytes a key, and no Python object.

A key lies in a record of fixed width; the records whose hashes end alike lie one after the other in one `bytes`. To
look up is to search a kilobyte, to change is to put a new `bytes` in the old one's place: there is nothing to resize,
to merge or to clean up, so no change takes longer than another. Objects in a dict took 475 bytes each, and half a
million of them stopped every stream for 0.7 s whenever the garbage collector visited all.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import msgspec

from identity.client_address import Network, parse_networks
from identity.key_format import DIGEST_BYTES, LOOKUP_LENGTH

# 15 records a bucket at 500,000 keys, 150 at five million; the empty table takes 8 bytes a bucket.
BUCKETS = 1 << 15
# A parsed policy takes a kilobyte or more where it lists networks; those that are in use are parsed once.
PARSED_POLICIES = 4096

# id, tenant, project, version, digest, number of the pepper, expiry, whether it is revoked, blocked, of "Try it", and
# whether there is a secret before, number of the policy
_KEY = struct.Struct(f"<qqqq{DIGEST_BYTES}shq????I")
_ID = struct.Struct("<q")
# The secret before, as PostgreSQL packs it: digest, number of the pepper, end. Apart, as most keys have none; some 75
# bytes for one that has.
_PREVIOUS = struct.Struct(f">{DIGEST_BYTES}shd")


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """What keys of one kind may do, shared by them. Empty: no restriction, but no browser without an origin."""

    scopes: frozenset[str]
    allowed_models: frozenset[str]
    ip_ranges: tuple[Network, ...]
    origins: frozenset[str]


class PreviousSecret(NamedTuple):
    """The secret that a rotation replaced; it works until `ends_at` (Unix seconds)."""

    digest: bytes
    pepper_id: int
    ends_at: float


class Key(NamedTuple):
    """An API key. `expires_at` in Unix seconds, 0 for never; `version` is its policy_version."""

    id: int
    tenant_id: int
    project_id: int
    version: int
    digest: bytes
    pepper_id: int
    expires_at: int
    is_revoked: bool
    is_blocked: bool
    is_playground: bool
    previous: PreviousSecret | None
    policy: KeyPolicy


class KeyRow(NamedTuple):
    """A key as it is read. `policy` is a JSON array of four arrays of text, in the order of `KeyPolicy`; `previous` has
    the bytes of the secret before, or none.
    """

    lookup: str
    id: int
    tenant_id: int
    project_id: int
    version: int
    digest: bytes
    pepper_id: int
    expires_at: int
    is_revoked: bool
    is_blocked: bool
    is_playground: bool
    previous: bytes
    policy: str


class KeyTable:
    """Every key that the database has, revoked ones too, so that those are told so. `len()` counts them."""

    def __init__(self) -> None:
        self._by_lookup = Records(LOOKUP_LENGTH, _KEY.size)
        self._lookups = Records(_ID.size, LOOKUP_LENGTH)
        self._previous = Records(_ID.size, _PREVIOUS.size)
        self._policies = _Policies()

    def __len__(self) -> int:
        return len(self._by_lookup)

    @property
    def origins(self) -> Counter[str]:
        """The browser origins that keys list, and how many policies list each."""
        return self._policies.origins

    def get(self, lookup: str) -> Key | None:
        """The key whose text has this look-up (LOOKUP_LENGTH characters); None: there is none."""
        return self._key(self._by_lookup.get(lookup.encode()))

    def of_id(self, key_id: int) -> Key | None:
        """The key with this id; None: there is none."""
        lookup = self._lookups.get(_ID.pack(key_id))
        return self._key(self._by_lookup.get(lookup)) if lookup is not None else None

    def put(self, row: KeyRow) -> None:
        """Add a key, or replace what was known of it."""
        lookup = row.lookup.encode()
        self.drop(row.id)
        if len(lookup) != LOOKUP_LENGTH:  # no key's text can ask for it
            return
        former = self._by_lookup.get(lookup)
        if former is not None:  # of a key that was deleted, which we have not heard yet
            self.drop(_KEY.unpack(former)[0])
        policy = self._policies.take(row.policy)
        self._by_lookup.add(lookup, _KEY.pack(*row[1:11], bool(row.previous), policy))
        self._lookups.add(_ID.pack(row.id), lookup)
        if row.previous:
            self._previous.add(_ID.pack(row.id), row.previous)

    def drop(self, key_id: int) -> None:
        """Forget a key, if it is known."""
        lookup = self._lookups.pop(_ID.pack(key_id))
        record = self._by_lookup.pop(lookup) if lookup is not None else None
        if record is not None:
            *_, has_previous, policy = _KEY.unpack(record)
            self._policies.give_back(policy)
            if has_previous:
                self._previous.pop(_ID.pack(key_id))

    def ids(self) -> Iterator[list[int]]:
        """The ids of all keys, a part at a time; between parts keys may be added, changed and dropped."""
        for part in self._lookups.parts():
            yield [_ID.unpack(key)[0] for key in part]

    def _key(self, record: bytes | None) -> Key | None:
        if record is None:
            return None
        *fields, has_previous, policy = _KEY.unpack(record)
        packed = self._previous.get(record[: _ID.size]) if has_previous else None
        previous = PreviousSecret._make(_PREVIOUS.unpack(packed)) if packed is not None else None
        return Key._make((*fields, previous, self._policies.get(policy)))


class Records:
    """A map from `bytes` of one width to `bytes` of one width."""

    def __init__(self, key_bytes: int, value_bytes: int) -> None:
        self._key_bytes, self._width = key_bytes, key_bytes + value_bytes
        self._buckets = [b""] * BUCKETS
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get(self, key: bytes) -> bytes | None:
        """The value; None: there is none."""
        bucket = self._buckets[hash(key) % BUCKETS]
        place = self._place(bucket, key)
        return bucket[place + self._key_bytes : place + self._width] if place >= 0 else None

    def add(self, key: bytes, value: bytes) -> None:
        """Add a value for a key that has none."""
        self._buckets[hash(key) % BUCKETS] += key + value
        self._count += 1

    def pop(self, key: bytes) -> bytes | None:
        """Take a value away and answer it; None: there was none."""
        number = hash(key) % BUCKETS
        bucket = self._buckets[number]
        place = self._place(bucket, key)
        if place < 0:
            return None
        self._buckets[number] = bucket[:place] + bucket[place + self._width :]
        self._count -= 1
        return bucket[place + self._key_bytes : place + self._width]

    def parts(self) -> Iterator[list[bytes]]:
        """All keys, a bucket at a time."""
        for bucket in self._buckets:
            yield [bucket[place : place + self._key_bytes] for place in range(0, len(bucket), self._width)]

    def _place(self, bucket: bytes, key: bytes) -> int:
        """Where the key's record begins, -1: nowhere. The same bytes may also lie across a record's fields."""
        place = bucket.find(key)
        while place > 0 and place % self._width:
            place = bucket.find(key, place + 1)
        return place


class _Policies:
    """Each policy once, under a number, for as long as a key has it."""

    def __init__(self) -> None:
        self.origins: Counter[str] = Counter()
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = []
        self._keys: list[int] = []  # how many have it
        self._free: list[int] = []

    def get(self, number: int) -> KeyPolicy:
        return _parsed(self._texts[number])

    def take(self, text: str) -> int:
        number = self._numbers.get(text)
        if number is None:
            number = self._add(text)
        self._keys[number] += 1
        return number

    def give_back(self, number: int) -> None:
        self._keys[number] -= 1
        if self._keys[number]:
            return
        text, self._texts[number] = self._texts[number], ""
        del self._numbers[text]
        self._free.append(number)
        self.origins -= Counter(_parsed(text).origins)

    def _add(self, text: str) -> int:
        if not self._free:
            self._free.append(len(self._texts))
            self._texts.append("")
            self._keys.append(0)
        number = self._numbers[text] = self._free.pop()
        self._texts[number] = text
        self.origins.update(_parsed(text).origins)
        return number


@lru_cache(maxsize=PARSED_POLICIES)
def _parsed(text: str) -> KeyPolicy:
    scopes, models, ip_ranges, origins = msgspec.json.decode(
        text, type=tuple[list[str], list[str], list[str], list[str]]
    )
    return KeyPolicy(frozenset(scopes), frozenset(models), parse_networks(ip_ranges), frozenset(origins))
