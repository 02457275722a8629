"""Keys of programs that run the platform: which there are, a new one, the end of one."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.forms.operator_keys import OperatorKeyForm
from console.pages import operator_page
from console.refusals import show_at_form
from identity.errors import Conflict, Invalid
from identity.models import OperatorKey, Person
from identity.operator_keys import make_operator_key, operator_keys_for, revoke_operator_key
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission
from identity.scopes import OperatorScope

_SHOWN = 200


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.OPERATOR_KEY_UPDATE)
def operator_keys(request: HttpRequest, operator: Person) -> HttpResponse:
    """All keys, and a form for a new one, whose text the answer shows once."""
    by = operator_for_person(operator)
    form = OperatorKeyForm(request.POST or None, by=by)
    text = ""
    if request.method == "POST" and form.is_valid():
        scopes = [OperatorScope(scope) for scope in form.cleaned_data["scopes"]]
        try:
            _key, text = make_operator_key(
                by=by, name=form.cleaned_data["name"], scopes=scopes, expires_at=form.expires_at
            )
        except (Invalid, Conflict) as error:
            show_at_form(form, error)
        else:
            form = OperatorKeyForm(by=by)
    keys = [(key, _state(key)) for key in operator_keys_for(by)[:_SHOWN]]
    shown = {"form": form, "keys": keys, "text": text}
    return render(request, "console/operator/operator_keys/operator_keys.html", shown)


@require_POST
@operator_page(OperatorPermission.OPERATOR_KEY_UPDATE)
def operator_key_revoke(request: HttpRequest, operator: Person, lookup: str) -> HttpResponse:
    """Stop a key for good."""
    revoke_operator_key(by=operator_for_person(operator), lookup=lookup)
    messages.success(request, _("The key is refused from now on."))
    return redirect("operator-keys")


def _state(key: OperatorKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at <= timezone.now() else "active"
