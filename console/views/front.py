"""Where `/` leads, the list of one's organisations, and the first steps."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from billing.invoices.payers import payers_for
from billing.prices.visibility import visible_models
from console.pages import LAST_TENANT, person_page, tenant_page
from console.snippets import chat_snippets
from gateway.pools.serving import is_served
from identity.access import Caller, tenants_of
from identity.models import Person
from identity.permissions import Permission
from models_catalog.models import LanguageModel

_FOUND_MAX = 100


@require_GET
@person_page
def front(request: HttpRequest, person: Person) -> HttpResponse:
    """To the organisation that was looked at last, else the first one; who only pays for others: to their invoices."""
    slugs = list(tenants_of(person).values_list("slug", flat=True)[:_FOUND_MAX])
    last = request.COOKIES.get(LAST_TENANT)
    if slugs:
        return redirect("overview", slug=last if last in slugs else slugs[0])
    return redirect("payer-invoices" if payers_for(person).exists() else "no-membership")


@require_GET
@person_page
def organisations(request: HttpRequest, person: Person) -> HttpResponse:
    """All that the person is a member of, by name, and a search."""
    text = request.GET.get("q", "")[:200]
    found = tenants_of(person)
    if text:
        found = found.filter(name__icontains=text)
    shown = {"organisations": found[:_FOUND_MAX], "text": text, "most": _FOUND_MAX}
    return render(request, "console/front/organisations.html", shown)


@require_GET
@tenant_page(Permission.TENANT_READ)
def quick_start(request: HttpRequest, caller: Caller) -> HttpResponse:
    """From a key to a first answer, with the real addresses."""
    chat = visible_models(caller.tenant).filter(is_served(), kind=LanguageModel.Kind.CHAT).order_by("name").first()
    shown = {"snippets": chat_snippets(settings.PUBLIC_URL, chat.name) if chat else []}
    return render(request, "console/front/quick_start.html", shown)
