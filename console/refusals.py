"""What a verb refused, for people: at the field of the form that it is about, or as a sentence."""

from collections.abc import Mapping

from django.forms import BaseForm
from django.utils.translation import gettext as _

from identity.errors import Conflict, Forbidden, IdentityError, Invalid

_AS_IS: Mapping[str, str] = {}


def sentence_of(error: IdentityError) -> str:
    """With a capital and a full stop."""
    if isinstance(error, Forbidden) and " " not in str(error):  # a permission's name, no sentence
        return _("Your role does not allow this.")
    text = str(error.message if isinstance(error, Invalid) else error).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def show_at_form(form: BaseForm, error: Invalid | Conflict | Forbidden, *, called: Mapping[str, str] = _AS_IS) -> None:
    """At the field that the verb names, where the form has it; else above the form.

    called: by the verb's name for a field the form's, where that is another one
    """
    field = called.get(error.field, error.field) if isinstance(error, Invalid) else None
    form.add_error(field if field in form.fields else None, sentence_of(error))
