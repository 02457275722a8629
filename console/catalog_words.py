"""The catalog's words for people: kinds of use, capabilities, what a model takes, languages, meters, life."""

from babel import Locale
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

_WORDS: dict[str, Promise] = {
    # what it is used for
    "assistant": _("assistant"),
    "math": _("mathematics"),
    "coding": _("code"),
    "vision": _("reading images"),
    "multilingual": _("many languages"),
    "agents": _("agents"),
    "summarisation": _("summaries"),
    "rag": _("answers from documents"),
    "classification": _("classification"),
    "extraction": _("extraction"),
    "edge": _("small machines"),
    "long-documents": _("long documents"),
    "research": _("research"),
    "ocr": _("text in images"),
    "search": _("search"),
    "moderation": _("moderation"),
    "translation": _("translation"),
    "transcription": _("transcription"),
    "subtitles": _("subtitles"),
    "image-generation": _("making images"),
    # what it can do
    "tools": _("tools"),
    "reasoning": _("reasoning"),
    "security": _("safety checks"),
    # what it takes
    "text": _("text"),
    "image": _("images"),
    "audio": _("audio"),
    "video": _("video"),
}
_METERS: dict[str, Promise] = {
    "input": _("input"),
    "cached": _("cached input"),
    "output": _("output"),
    "reasoning": _("reasoning"),
    "audio_ms": _("audio"),
    "documents": _("documents"),
    "images": _("images"),
}
# What a price is for: a million units of the meter, in words that people use.
_UNITS: dict[str, Promise] = {
    "audio_ms": _("M ms of audio"),
    "documents": _("M documents"),
    "images": _("M images"),
}
_LIFE: dict[str, tuple[str, Promise]] = {
    "evaluation": ("blue", _("evaluation")),
    "production": ("green", _("production")),
    "deprecated": ("yellow", _("ends soon")),
    "retired": ("secondary", _("retired")),
}


def word_of(text: str) -> str:
    """A word of the catalog in the reader's language; one that is not known here stays as it is."""
    return str(_WORDS.get(text, text.replace("-", " ")))


def meter_word(meter: str) -> str:
    """What is counted."""
    return str(_METERS[meter])


def short_unit_of(meter: str) -> str:
    """What its price is for: a million of them."""
    return str(_UNITS.get(meter, _("M tokens")))


def life_word(stage: str) -> str:
    """Where a model stands."""
    return str(_LIFE[stage][1])


def life_tone(stage: str) -> str:
    """One of Tabler's colour names."""
    return _LIFE[stage][0]


def language_name(code: str) -> str:
    """A language's name in the reader's; `mul` is "and others"."""
    if code == "mul":
        return str(_("and others"))
    return str(_reader().languages.get(code, code))


def country_name(code: str) -> str:
    """A country's name in the reader's language."""
    return str(_reader().territories.get(code, code))


def _reader() -> Locale:
    return Locale.parse((get_language() or "en").partition("-")[0])
