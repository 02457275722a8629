"""Adding a model: where its engine is, what answered, which entry of the catalogue that is. Then its page leads on."""

import base64
from binascii import Error as NotBase64
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from console.forms.operator_models import EngineForm, EntryForm
from console.pages import operator_page
from console.views.operator.models import put_on_form
from gateway.pools.engine_look import Look, look_at_engine
from gateway.pools.probes import NotReady
from gateway.pools.publishing import add_engine, create_model, entry_for
from gateway.pools.reasons import REFUSES_KEY, in_readers_language
from identity import secret_box
from identity.errors import Conflict, Invalid
from identity.models import Person
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission
from identity.secret_box import SecretBoxError
from models_catalog.models import LanguageModel

_CONTEXT = "console.model_adding:api_key"


@operator_page(OperatorPermission.CAPACITY_UPDATE)
@require_http_methods(["GET", "POST"])
def add_model(request: HttpRequest, operator: Person) -> HttpResponse:
    """Two steps on one address; the engine's key travels between them encrypted."""
    if request.method == "GET":
        return _first(request, EngineForm())
    sealed = request.POST.get("sealed", "")
    data = request.POST.copy()
    if sealed:
        data["api_key"] = _opened(sealed)
    form = EngineForm(data)
    if not form.is_valid():
        return _first(request, form)
    url, key = form.cleaned_data["url"], form.cleaned_data["api_key"]
    try:
        look = look_at_engine(url, key)
    except Invalid as refused:
        put_on_form(form, refused)
        return _first(request, form)
    except NotReady as trouble:
        if trouble.reason == REFUSES_KEY:
            form.add_error("api_key", _("The engine refuses this key.") if key else _("The engine asks for a key."))
        else:
            form.add_error("url", in_readers_language(trouble.reason))
        return _first(request, form)
    return _second(request, operator, form, look, is_sent="served_name" in data)


def _first(request: HttpRequest, form: EngineForm) -> HttpResponse:
    return render(request, "console/operator/models/add.html", {"form": form, "step": 1})


def _second(request: HttpRequest, operator: Person, form: EngineForm, look: Look, *, is_sent: bool) -> HttpResponse:
    usable = [one for one in look.served if one.kind]
    entries = list(LanguageModel.objects.filter(kind__in={one.kind for one in usable}).order_by("name"))
    by_name = {entry.name: str(entry.pk) for entry in entries}
    first = usable[0].name if usable else ""
    initial = {"served_name": first, "entry": by_name.get(first, "")}
    names = [one.name for one in usable]
    entry_form = EntryForm(request.POST if is_sent else None, served=names, entries=entries, initial=initial)
    if is_sent and entry_form.is_valid():
        try:
            return _added(request, operator, form.cleaned_data, entry_form.cleaned_data, look)
        except (Invalid, Conflict) as refused:
            put_on_form(entry_form, refused)
    shown = {
        "form": entry_form,
        "step": 2,
        "look": look,
        "usable": usable,
        "url": form.cleaned_data["url"],
        "sealed": _sealed(form.cleaned_data["api_key"]),
    }
    return render(request, "console/operator/models/add.html", shown)


def _added(
    request: HttpRequest, operator: Person, engine: dict[str, Any], given: dict[str, Any], look: Look
) -> HttpResponse:
    by = operator_for_person(operator)
    served = next(one for one in look.served if one.name == given["served_name"])
    if given["entry"]:
        model = LanguageModel.objects.get(pk=int(given["entry"]))
        if model.kind != served.kind:
            raise Invalid("entry", _("The engine serves another kind of model than this entry describes."))
    else:
        model = create_model(entry_for(served, given["name"] or served.name, title=given["title"]), by=by)
    replica = add_engine(model=model, address=engine["url"], api_key=engine["api_key"], served_name=served.name, by=by)
    if replica.state == replica.State.READY:
        messages.success(request, _("The engine is registered and answers."))
    else:
        messages.warning(request, in_readers_language(replica.state_reason))
    return redirect("operator-model", model_id=model.pk)


def _sealed(key: str) -> str:
    return base64.urlsafe_b64encode(secret_box.seal(key.encode(), _CONTEXT)).decode() if key else ""


def _opened(sealed: str) -> str:
    """The key; "" where somebody changed the text: then the engine says that it refuses it."""
    try:
        return secret_box.open_sealed(base64.urlsafe_b64decode(sealed), _CONTEXT).decode()
    except (NotBase64, SecretBoxError, ValueError):
        return ""
