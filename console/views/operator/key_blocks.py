"""The operator's emergency stop of a key."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from console.forms.key_blocks import KeyBlockForm
from console.pages import operator_page
from console.refusals import show_at_form
from identity.errors import Invalid, NotFound
from identity.key_blocking import block_api_key, blocked_keys, unblock_api_key
from identity.models import Person
from identity.permissions import OperatorPermission

_SHOWN = 50


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.KEY_BLOCK)
def key_blocks(request: HttpRequest, operator: Person) -> HttpResponse:
    """Which keys are blocked, and a form that blocks one or takes a block back."""
    form = KeyBlockForm(request.POST or None, initial={"lookup": request.GET.get("key", "")[:10]})
    if request.method == "POST" and form.is_valid():
        try:
            messages.success(request, _change(form, operator, is_block="unblock" not in request.POST))
        except Invalid as error:
            show_at_form(form, error)
        except NotFound:
            form.add_error("lookup", _("There is no such key."))
        else:
            return redirect("operator-key-blocks")
    shown = {"form": form, "blocked": list(blocked_keys(operator)[:_SHOWN]), "most": _SHOWN}
    return render(request, "console/operator/key_blocks/key_blocks.html", shown)


def _change(form: KeyBlockForm, operator: Person, *, is_block: bool) -> str:
    change = block_api_key if is_block else unblock_api_key
    lookup = form.cleaned_data["lookup"]
    is_changed = change(lookup, by=operator, reason=form.cleaned_data["reason"])
    if is_block:
        told = (
            _("The key %(key)s is blocked, and its organisation is told.")
            if is_changed
            else _("It was blocked before.")
        )
    else:
        told = (
            _("The key %(key)s works again, and its organisation is told.") if is_changed else _("It was not blocked.")
        )
    return told % {"key": lookup}
