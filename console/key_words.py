"""What pages about keys say and ask: refusals in a sentence, the word to be typed, secrets shown once."""

from datetime import timedelta

from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.translation import gettext

from identity.errors import Conflict, Invalid
from identity.key_use import last_used_at
from identity.models import ApiKey

LATELY = timedelta(hours=1)
_SHOWN_KEPT = 20  # requests of one session whose secrets were shown
_SHOWN = "keys_shown"


def say(refused: Invalid | Conflict) -> str:
    """The refusal as a sentence."""
    text = gettext(refused.message if isinstance(refused, Invalid) else str(refused))
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


def was_used_lately(key: ApiKey) -> bool:
    """Whether something would stop now if the key did."""
    at = last_used_at(key)
    return at is not None and at > timezone.now() - LATELY


def is_word_right(request: HttpRequest, word: str) -> bool:
    """Whether what was asked for was typed."""
    return request.POST.get("confirmation", "").strip() == word


def new_request() -> str:
    """Names one sending of a form: sent again, it is the same."""
    return get_random_string(24)


def was_shown(request: HttpRequest, name: str) -> str:
    """The look-up of the key whose secret this sending of a form showed before; "": it is the first."""
    return str(request.session.get(_SHOWN, {}).get(name, ""))


def note_shown(request: HttpRequest, name: str, key: ApiKey) -> None:
    """Remember that this sending has shown its secret: the page loaded again must not make another."""
    shown = list(request.session.get(_SHOWN, {}).items())[-_SHOWN_KEPT + 1 :]
    request.session[_SHOWN] = dict(shown) | {name: key.lookup}
