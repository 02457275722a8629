"""What the people of a payer see: the invoices that were made out to it, who it is in law, and its people. No more."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.invoices.payers import (
    accept_to_pay,
    add_colleague,
    invoice_of_payer,
    invoices_of_payer,
    payer_for,
    payers_for,
    people_of,
    remove_colleague,
    stop_paying,
)
from console.forms.payers import PayerIdentityForm
from console.invoice_words import row_of, shown_invoice
from console.pages import person_page
from console.refusals import sentence_of, show_at_form
from gateway.api.invoice_answers import answer_with
from identity.audit import Actor
from identity.errors import Conflict, Invalid, NotFound
from identity.models import Person

SHOWN_MAX = 300


@require_GET
@person_page
def invoices(request: HttpRequest, person: Person) -> HttpResponse:
    """For whom the person's firm pays, and what was made out to it. 404 for who is of no payer."""
    payers = list(payers_for(person))
    if not payers:
        raise NotFound("page")
    today = timezone.localdate()
    found = invoices_of_payer(person).defer("contents")[:SHOWN_MAX]
    shown = {
        "payers": [payer for payer in payers if payer.ended_at is None],
        "rows": [row_of(one, today) for one in found],
    }
    return render(request, "console/payers/invoices.html", shown)


@require_http_methods(["GET", "POST"])
@person_page
def identity(request: HttpRequest, person: Person, payer_id: int) -> HttpResponse:
    """Who the payer is in law: the first time, to accept."""
    payer = payer_for(person, payer_id)
    form = PayerIdentityForm(request.POST or None, party=payer)
    if request.method == "POST" and form.is_valid():
        try:
            accept_to_pay(person=person, payer_id=payer_id, wish=form.wish)
        except Invalid as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("Invoices are made out to you from the next one on."))
            return redirect("payer-invoices")
    shown = {"payer": payer, "form": form, "people": people_of(payer)}
    return render(request, "console/payers/identity.html", shown)


@require_POST
@person_page
def stop(request: HttpRequest, person: Person, payer_id: int) -> HttpResponse:
    """Decline, or pay no more."""
    stop_paying(person=person, payer_id=payer_id)
    messages.success(request, _("You do not pay for it any more. What was made out to you stays to be read."))
    return redirect("front")


@require_POST
@person_page
def add_person(request: HttpRequest, person: Person, payer_id: int) -> HttpResponse:
    """Let a colleague see the invoices too."""
    try:
        add_colleague(person=person, payer_id=payer_id, email=request.POST.get("email", "")[:254])
    except (Invalid, Conflict) as error:
        messages.error(request, sentence_of(error))
    else:
        messages.success(request, _("The address is asked by e-mail."))
    return redirect("payer-identity", payer_id=payer_id)


@require_POST
@person_page
def remove_person(request: HttpRequest, person: Person, payer_id: int) -> HttpResponse:
    """Let a colleague see them no more."""
    try:
        remove_colleague(person=person, payer_id=payer_id, email=request.POST.get("email", "")[:254])
    except Conflict as error:
        messages.error(request, sentence_of(error))
    return redirect("payer-identity", payer_id=payer_id)


@require_GET
@person_page
def invoice(request: HttpRequest, person: Person, paid_id: UUID) -> HttpResponse:
    """One, as it was issued."""
    found = invoice_of_payer(person, paid_id)
    return render(request, "console/payers/invoice.html", shown_invoice(found, timezone.localdate()))


@require_GET
@person_page
def invoice_file(request: HttpRequest, person: Person, paid_id: UUID, ending: str) -> HttpResponse:
    """Its PDF, XML or table of lines."""
    return answer_with(invoice_of_payer(person, paid_id), ending, to=Actor.person(person))
