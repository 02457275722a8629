"""Verifies an export of the audit chain offline. Needs Python 3.11 and `cryptography`; no Django, no database.

    python3 audit_verifier.py audit.jsonl --public-key HEX [--tenant ID] [--checkpoints FILE]

An export is one JSON object a line: a header, the events in their order, after some of them a checkpoint, and an end.

    hash of an event      SHA-256(previous hash || canonical JSON without type, previous_hash, hash, known_as)
    names of an event     for each part, SHA-256(salt || canonical JSON of the content); a part may have been erased
    checkpoint, end       Ed25519 over "beffroi audit checkpoint\\n" || canonical JSON of at, hash, sequence, tenant
    canonical JSON        keys sorted by code point, no spaces, UTF-8

Without --public-key the signatures are held against the key that the export itself names, which only tells whether the
file is whole: take the key from the console's audit page once, and keep it. --checkpoints takes checkpoints that were
kept elsewhere (lines of an earlier export, or of /api/audit/checkpoints).
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "beffroi-audit/1"
FIRST_PREVIOUS_HASH = bytes(32)
SALT_BYTES = 32
_NOT_HASHED = frozenset({"type", "previous_hash", "hash", "known_as"})
_ANY = object()


class Flaw(NamedTuple):
    """The first link that does not hold, and why, in English."""

    sequence: int
    reason: str


def canonical_json(value: object) -> bytes:
    """The one text of a JSON value: keys sorted by code point, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def link_hash(previous_hash: bytes, members: Mapping[str, Any]) -> bytes:
    """SHA-256 of the previous link's hash and of this link's members: what the next link continues."""
    return hashlib.sha256(previous_hash + canonical_json(members)).digest()


def commitment(salt: bytes, content: Mapping[str, Any]) -> str:
    """What the chain holds of names kept beside it: SHA-256 of the salt and the content's one text, in hex."""
    return hashlib.sha256(salt + canonical_json(content)).hexdigest()


def checkpoint_text(line: Mapping[str, Any]) -> bytes:
    """What a checkpoint's signature is over."""
    members = {name: line[name] for name in ("tenant", "sequence", "hash", "at")}
    return b"beffroi audit checkpoint\n" + canonical_json(members)


def has_good_signature(line: Mapping[str, Any]) -> bool:
    """Whether the checkpoint was signed with the key that it names."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(line["public_key"]))
        key.verify(bytes.fromhex(line["signature"]), checkpoint_text(line))
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass
class ChainVerifier:
    """Takes a chain link by link; `flaw` is the first that does not hold, after which nothing is looked at any more.

    trusted: public keys in hex; None: whatever key a checkpoint names
    kept: checkpoints from elsewhere, by sequence
    """

    trusted: frozenset[str] | None = None
    tenant: object = _ANY
    kept: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    sequence: int = 0
    hash: bytes = FIRST_PREVIOUS_HASH
    links: int = 0
    checkpoints: int = 0
    last_checkpoint: int = 0
    erased: int = 0
    flaw: Flaw | None = None

    def begin(self, sequence: int, previous_hash: bytes) -> None:
        """The first link to come, where it is not the first of the chain, and the hash of the one before."""
        self.sequence, self.hash = sequence - 1, previous_hash
        if sequence == 1 and previous_hash != FIRST_PREVIOUS_HASH:
            self._find(1, "does not begin the chain")

    def event(self, line: Mapping[str, Any]) -> None:
        """The next link."""
        if self.flaw:
            return
        reason = self._flaw_of(line)
        if reason:
            self._find(self.sequence + 1 if reason == "missing" else line["sequence"], reason)
            return
        self.sequence, self.hash = line["sequence"], bytes.fromhex(line["hash"])
        self.links += 1
        if self.sequence in self.kept:
            self.checkpoint(self.kept.pop(self.sequence))

    def checkpoint(self, line: Mapping[str, Any]) -> None:
        """A checkpoint of the last link that was taken."""
        if self.flaw:
            return
        sequence = line["sequence"]
        if self.tenant is not _ANY and line["tenant"] != self.tenant:
            self._find(sequence, "has a checkpoint of another tenant")
        elif not has_good_signature(line):
            self._find(sequence, "has a checkpoint with a wrong signature")
        elif self.trusted is not None and line["public_key"] not in self.trusted:
            self._find(sequence, "has a checkpoint that an unknown key signed")
        elif sequence > self.sequence:
            self._find(self.sequence + 1, "missing, though a checkpoint after it was signed")
        elif sequence < self.sequence or bytes.fromhex(line["hash"]) != self.hash:
            self._find(sequence, "differs from its signed checkpoint")
        else:
            self.checkpoints += 1
            self.last_checkpoint = sequence

    def finish(self) -> None:
        """No more links: every checkpoint from elsewhere must have been met."""
        later = [sequence for sequence in self.kept if sequence > self.sequence]
        if later and not self.flaw:
            self.checkpoint(self.kept[min(later)])

    def _flaw_of(self, line: Mapping[str, Any]) -> str:
        if self.tenant is not _ANY and line.get("tenant") != self.tenant:
            return "belongs to another tenant"
        if line["sequence"] <= self.sequence:
            return "comes out of order"
        if line["sequence"] != self.sequence + 1:
            return "missing"
        if bytes.fromhex(line["previous_hash"]) != self.hash:
            return "does not continue the link before it"
        members = {name: value for name, value in line.items() if name not in _NOT_HASHED}
        if bytes.fromhex(line["hash"]) != link_hash(self.hash, members):
            return "was changed"
        return self._flaw_of_names(line)

    def _flaw_of_names(self, line: Mapping[str, Any]) -> str:
        promised, known = line.get("names") or {}, line.get("known_as") or {}
        for part, beside in known.items():
            if promised.get(part) != commitment(bytes.fromhex(beside["salt"]), beside["content"]):
                return "has names that were changed"
        self.erased += len(promised.keys() - known.keys())
        return ""

    def _find(self, sequence: int, reason: str) -> None:
        self.flaw = Flaw(sequence, reason)


def verify_export(lines: Iterable[str], verifier: ChainVerifier) -> ChainVerifier:
    """Read a whole export, line by line. The first flaw is in the verifier that comes back."""
    has_end = False
    for number, text in enumerate(lines, 1):
        try:
            line = json.loads(text)
            has_end = line["type"] == "end"
            _take(line, number, verifier)
        except (ValueError, KeyError, TypeError, AttributeError):
            verifier.flaw = verifier.flaw or Flaw(verifier.sequence + 1, f"cannot be read, line {number}")
        if verifier.flaw:
            return verifier
    verifier.finish()
    if not has_end and not verifier.flaw:
        verifier.flaw = Flaw(verifier.sequence + 1, "missing at the end of the export")
    return verifier


def _take(line: Mapping[str, Any], number: int, verifier: ChainVerifier) -> None:
    kind = line["type"]
    if (kind == "header") != (number == 1):
        raise ValueError(kind)
    if kind == "header":
        if line["format"] != FORMAT:
            raise ValueError(line["format"])
        if verifier.tenant is _ANY:
            verifier.tenant = line["tenant"]
        verifier.begin(line["first_sequence"], bytes.fromhex(line["previous_hash"]))
    elif kind == "event":
        verifier.event(line)
    elif kind in ("checkpoint", "end"):
        verifier.checkpoint(line)
    else:
        raise ValueError(kind)


def kept_checkpoints(lines: Iterable[str]) -> dict[int, Mapping[str, Any]]:
    """The checkpoints among the lines, by sequence; other lines are passed over."""
    parsed = (json.loads(text) for text in lines if text.strip())
    return {line["sequence"]: line for line in parsed if line.get("type") in ("checkpoint", "end")}


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 where the export holds, 1 where it does not."""
    parser = argparse.ArgumentParser(description="Verify an export of Beffroi's audit chain.")
    parser.add_argument("file", help="an export in JSONL; - reads standard input")
    parser.add_argument("--public-key", action="append", metavar="HEX", help="a key of the installation")
    parser.add_argument("--tenant", type=int, metavar="ID", help="whose chain it has to be")
    parser.add_argument("--checkpoints", metavar="FILE", help="checkpoints that were kept elsewhere")
    given = parser.parse_args(arguments)
    verifier = ChainVerifier(trusted=frozenset(given.public_key) if given.public_key else None)
    if given.tenant is not None:
        verifier.tenant = given.tenant
    if given.checkpoints:
        with open(given.checkpoints, encoding="utf-8") as file:
            verifier.kept = kept_checkpoints(file)
    if given.file == "-":
        verify_export(sys.stdin, verifier)
    else:
        with open(given.file, encoding="utf-8") as file:
            verify_export(file, verifier)
    sys.stdout.write(told(verifier, has_keys=bool(given.public_key)))
    return 1 if verifier.flaw else 0


def told(verifier: ChainVerifier, *, has_keys: bool) -> str:
    """What was found, in a line or two."""
    if verifier.flaw:
        return f"BROKEN: link {verifier.flaw.sequence} {verifier.flaw.reason}.\n"
    first = verifier.sequence - verifier.links + 1
    text = f"{verifier.links} links hold, {first} to {verifier.sequence}; {verifier.checkpoints} signatures are good.\n"
    if verifier.erased:
        text += f"{verifier.erased} parts with names were erased since; the chain does not depend on them.\n"
    if not has_keys:
        text += "The key came from the export itself: give --public-key to know who signed.\n"
    return text


if __name__ == "__main__":
    sys.exit(main())
