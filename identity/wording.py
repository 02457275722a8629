"""Names that people give to things: what is accepted, the same everywhere."""

import unicodedata

from django.utils.translation import gettext as _

from identity.errors import Invalid
from identity.key_format import find_key

NAME_LENGTH_MAX = 200  # characters; the width of the columns


def clean_name(name: str, field: str = "name", length_max: int = NAME_LENGTH_MAX) -> str:
    """The name without blanks around it. Raises `Invalid`: empty, too long, control characters, or an API key in it."""
    name = unicodedata.normalize("NFC", name).strip()
    if not name or len(name) > length_max:
        raise Invalid(field, _("must have from 1 to %(count)s characters") % {"count": length_max})
    # Controls, line and paragraph separators, direction overrides: they make a list or a log say what it does not.
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in name):
        raise Invalid(field, _("must not contain control characters"))
    if find_key(name.encode()):
        raise Invalid(field, _("must not contain an API key"))
    return name


def clean_text(text: str, field: str, length_max: int) -> str:
    """A free text, possibly empty or of several lines. Raises `Invalid` as `clean_name` does."""
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").strip()
    if len(text) > length_max:
        raise Invalid(field, _("must have at most %(count)s characters") % {"count": length_max})
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in text.replace("\n", "")):
        raise Invalid(field, _("must not contain control characters"))
    if find_key(text.encode()):
        raise Invalid(field, _("must not contain an API key"))
    return text
