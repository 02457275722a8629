"""What an operator says to stop a key in an emergency, or to let it work again."""

from django import forms
from django.utils.translation import gettext_lazy as _

from identity.key_blocking import REASON_LENGTH_MAX
from identity.key_format import KEY_LENGTH, PREFIX, is_lookup, parse_key


class KeyBlockForm(forms.Form):
    """`cleaned_data["lookup"]`: the key's public id, also where somebody pasted a whole leaked key."""

    lookup = forms.CharField(
        label=_("Key"),
        max_length=KEY_LENGTH,
        help_text=_("What follows bfr_ in it, or the whole key where it leaked. Nothing but its public id is kept."),
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", "spellcheck": "false"}),
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=REASON_LENGTH_MAX,
        help_text=_("The organisation reads it."),
        widget=forms.TextInput(attrs={"class": "form-control"}),
    )

    def clean_lookup(self) -> str:
        """The public id. Raises `ValidationError` for what is no key."""
        text = str(self.cleaned_data["lookup"]).strip()
        parsed = parse_key(text)
        lookup = parsed.lookup if parsed else text.removeprefix(PREFIX).partition("_")[0]
        self.data = {name: self.data.get(name, "") for name in self.fields} | {
            "lookup": lookup
        }  # shown again: no secret
        if not is_lookup(lookup):
            raise forms.ValidationError(_("This is not the public id of a key."))
        return lookup
