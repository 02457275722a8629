"""Why an engine takes no requests: English in the database, the logs and the API, the reader's language on a page."""

import re

from django.utils.translation import gettext, gettext_noop

from gateway.pools.fleet.agent_reasons import SENTENCES as OF_AGENTS
from gateway.pools.fleet.reasons import SENTENCES as FLEET

SILENT = gettext_noop("It does not answer: %(fault)s.")
REFUSES_KEY = gettext_noop("It refuses the key that it was registered with.")
ANSWERS_STATUS = gettext_noop("It answers %(path)s with status %(status)s.")
NO_OBJECT = gettext_noop("It answers %(path)s with something that is no JSON object.")
LISTS_NOTHING = gettext_noop("It lists no model at /v1/models.")
SERVES_OTHERS = gettext_noop("It does not serve %(model)s, but %(served)s.")
KIND_NOT_PASSED_ON = gettext_noop("Requests for %(kind)s models are not passed on yet.")
OF_NO_KIND = gettext_noop("It serves %(model)s, but answers no chat, embedding or rerank request with a usage.")
KEY_UNREADABLE = gettext_noop("Its key cannot be decrypted: register it again.")
TAKEN_OUT = gettext_noop("It was taken out of service.")
NO_USAGE = gettext_noop("It reports no usage in a whole answer.")
NO_USAGE_AT_END = gettext_noop("It reports no usage at the end of a stream (stream_options.include_usage).")
NO_USAGE_DURING = gettext_noop("It reports no usage during a stream (stream_options.continuous_usage_stats).")
NO_USAGE_OF_EMBEDDING = gettext_noop("It reports no usage with an embedding.")
NO_RERANK = gettext_noop("It does not rerank: there is no result for each document.")
NO_DONE = gettext_noop("Its stream does not end with [DONE].")
SMALL_WINDOW = gettext_noop("Its context window is %(window)s tokens, less than the catalog's %(catalog)s.")
NOT_PROBED = gettext_noop("It was not probed yet.")
PUT_BACK = gettext_noop("It was put back and not probed yet.")
DRAINS = gettext_noop("%(who)s lets it drain.")
EJECTED = gettext_noop("%(who)s ejected it.")

# What `identity/egress.py` says of an exchange that failed.
_FAULTS = (
    gettext_noop("the whole exchange took too long"),
    gettext_noop("the name could not be resolved in time"),
    gettext_noop("there is no such name"),
    gettext_noop("nothing listens at this address and port"),
    gettext_noop("no machine answers at this address"),
    gettext_noop("the connection broke: %(error)s"),
    gettext_noop("TLS failed: %(error)s"),
)


def in_readers_language(reason: str) -> str:
    """A reason that was made of a sentence of this module, in the active language; any other text as it is."""
    for sentence, pattern in _PATTERNS:
        if found := pattern.fullmatch(reason):
            values = found.groupdict()
            for inner in values.keys() & {"fault", "reason"}:
                values[inner] = in_readers_language(values[inner])
            quote = values.pop("quote", None)
            text = gettext(sentence) % values
            return f"{text} {quote}" if quote else text
    return reason


def _pattern(sentence: str, behind: str = "") -> re.Pattern[str]:
    """What texts that were made of the sentence look like, with what may come `behind` it."""
    return re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+)", re.escape(sentence)) + behind, re.DOTALL)


_PATTERNS = tuple((sentence, _pattern(sentence)) for sentence in (
    SILENT, REFUSES_KEY, ANSWERS_STATUS, NO_OBJECT, LISTS_NOTHING, SERVES_OTHERS, KIND_NOT_PASSED_ON, OF_NO_KIND,
    KEY_UNREADABLE, TAKEN_OUT, NO_USAGE, NO_USAGE_AT_END, NO_USAGE_DURING, NO_USAGE_OF_EMBEDDING, NO_RERANK, NO_DONE,
    SMALL_WINDOW, NOT_PROBED, PUT_BACK, DRAINS, EJECTED, *_FAULTS, *FLEET,
)) + tuple((sentence, _pattern(sentence, r"(?: (?P<quote>.+))?")) for sentence in OF_AGENTS)  # fmt: skip
