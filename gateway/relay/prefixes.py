"""What of a prompt an engine may have read before, as numbers: nothing of the text is kept (I5). Pure.

Engines keep what they computed for the beginning of a prompt and use it for the next one that begins alike, under the
same cache salt. A conversation repeats all that was said and adds to it, so its JSON begins with the bytes of the turn
before: the bytes are cut at fixed places, and each beginning gets a number that depends on all bytes before the cut.
"""

import hashlib
from typing import NamedTuple

from gateway.relay.fields import Endpoint
from gateway.relay.request_body import InferenceRequest

LEAST = 1024
"""Bytes of a prompt, some 250 tokens, from which it is worth anything to have read it before."""
APPLICATION = 2 * LEAST
"""Bytes after which prompts of two applications differ; those of one go on alike for longer."""
MOST = 64 * LEAST
"""Bytes that are looked at: conversations that are alike for so long are sent to one place with profit."""


def _ends() -> tuple[int, ...]:
    """Where prompts are cut, in bytes: each KiB, farther apart where a KiB is little beside what came before."""
    ends = [LEAST]
    while ends[-1] < MOST:
        ends.append(min(MOST, ends[-1] + max(LEAST, ends[-1] // 4 // LEAST * LEAST)))
    return tuple(ends)


ENDS = _ends()
_BETWEEN_MESSAGES = 16  # bytes, at most, from the end of a message to the role of the next


class Beginning(NamedTuple):
    """The beginning of a tenant's prompt, for one request. `salt` is the tenant's, so that equal texts of two tenants
    have nothing in common.
    """

    text: bytes
    salt: bytes

    def marks(self, model_id: int) -> list[int]:
        """A number for each of its beginnings, short to long. They mean something in this process only, whose secret is
        in them (SipHash, PEP 456): a third of the time of what would be equal everywhere.
        """
        text, mark, start, size = self.text, hash((self.salt, model_id)), 0, len(self.text)
        found = []
        for end in ENDS:
            if end > size:
                break
            mark = hash((mark, text[start:end]))
            found.append(mark)
            start = end
        return found

    def keys(self) -> tuple[int, int]:
        """Two numbers that all gateways make alike: of the application that asks, and of the conversation, which is
        known by the end of its first question.
        """
        seen = hashlib.sha256(self.salt)
        seen.update(self.text[:APPLICATION])
        application = _number(seen.digest())
        asked = _end_of_question(self.text)
        seen.update(self.text[max(APPLICATION, asked - APPLICATION) : asked])
        return application, _number(seen.digest())


def beginning_of(request: InferenceRequest, cache_salt: str) -> Beginning | None:
    """The beginning of a request's prompt; None where there is nothing to gain: it is short, or nothing is written."""
    members = request.members
    if request.endpoint is Endpoint.CHAT:
        text, tools = members["messages"], members.get("tools")
        if tools is not None:  # templates write them before the messages
            text = tools[:MOST] + text[:MOST]
    elif request.endpoint is Endpoint.COMPLETIONS:
        text = members["prompt"]
    else:
        return None
    return Beginning(text, cache_salt.encode()) if len(text) >= LEAST else None


def _end_of_question(text: bytes) -> int:
    """Where the first message of a user ends; for a text without roles as much as tells applications apart.

    A search in bytes may be led astray by odd JSON, which costs a cache hit and nothing else.
    """
    asked = text.find(b'"user"', 0, MOST)
    if asked < 0:
        return APPLICATION
    answered = text.find(b'"role"', asked, MOST)
    after = answered if answered >= 0 else min(len(text), MOST)
    end = text.rfind(b"}", after - _BETWEEN_MESSAGES, after)
    return end if end >= 0 else after


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:7], "big")  # 56 bits, which Python hashes to themselves
