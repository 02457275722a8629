"""An owner names another legal entity that pays, and ends that."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from billing.invoices.payers import end_payer, name_payer, payer_of, people_of
from console.forms.payers import PayerAddressForm
from console.pages import tenant_page
from console.refusals import show_at_form
from identity.access import Caller
from identity.errors import Conflict, Invalid, NotFound
from identity.permissions import Permission


@require_http_methods(["GET", "POST"])
@tenant_page(Permission.PAYER_UPDATE)
def payer(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Who pays, or whom to ask."""
    form = PayerAddressForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            name_payer(by=caller, email=form.cleaned_data["email"])
        except (Conflict, Invalid) as error:
            show_at_form(form, error)
        else:
            asked = _("The address is asked by e-mail. Until it accepts, you pay.")
            by_hand = _("The address may accept. Until it does, you pay.")
            messages.success(request, asked if settings.MAIL_IS_SET_UP else by_hand)
            return redirect("payer", slug=caller.tenant.slug)
    found = payer_of(caller.tenant)
    shown = {
        "payer": found,
        "people": people_of(found) if found else [],
        "form": form,
        "told_by_hand": "" if settings.MAIL_IS_SET_UP else f"{settings.PUBLIC_URL}{reverse('payer-invoices')}",
    }
    return render(request, "console/payers/payer.html", shown)


@require_POST
@tenant_page(Permission.PAYER_UPDATE)
def payer_end(request: HttpRequest, caller: Caller) -> HttpResponse:
    """The organisation pays for itself again."""
    try:
        end_payer(by=caller)
    except NotFound:
        messages.info(request, _("Nobody else pays."))
    else:
        messages.success(request, _("Your organisation pays from the next invoice on."))
    return redirect("payer", slug=caller.tenant.slug)
