"""The audit across organisations: the platform's own chain, anybody's, or the newest links of all."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from console.audit_lines import audit_lines, changes_of
from console.forms.operator_audit import AuditFilterForm
from console.pages import operator_page
from identity.audit_across import NEWEST, PLATFORM, chain_for, events_across, verification_of_chain
from identity.audit_trail import VERIFIED_AT_ONCE, Filters, chains_checked, links_of, verify_and_keep
from identity.models import AuditVerification, Person
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission
from identity.tasks import verify_audit_chain


@require_GET
@operator_page(OperatorPermission.AUDIT_READ)
def audit(request: HttpRequest, operator: Person) -> HttpResponse:
    """The newest events of the chosen chain, filtered."""
    by = operator_for_person(operator)
    form = AuditFilterForm(request.GET, by)
    filters = form.filters()
    chosen = form.cleaned_data.get("chain") or ""
    chain, after = chain_for(by, chosen), form.cleaned_data.get("after")
    page = events_across(by, chain, filters, before=after)
    shown = {
        "form": form,
        "chain": chain,
        "chosen": chosen or PLATFORM,
        "rows": [(line, changes_of(line.event)) for line in audit_lines(None, page.events)],
        "next": page.next or "",
        "is_first": after is None,
        "is_filtered": filters != Filters(),
        "newest": NEWEST,
    }
    shown |= {"verification": verification_of_chain(chain)} if chain else {"checked": chains_checked()}
    return render(request, "console/operator/audit/audit.html", shown)


@require_POST
@operator_page(OperatorPermission.AUDIT_READ)
def verify(request: HttpRequest, operator: Person) -> HttpResponse:
    """Verify a chain: now, or, where it is long, in the background."""
    name = request.POST.get("chain", PLATFORM)
    chain = chain_for(operator_for_person(operator), name or PLATFORM)
    tenant = chain.tenant if chain else None
    if links_of(tenant) > VERIFIED_AT_ONCE:
        verify_audit_chain.delay(tenant.pk if tenant else None)
        messages.info(request, _("The chain is long: it is being verified in the background. Come back in a minute."))
    else:
        _tell(request, verify_and_keep(tenant))
    return redirect(f"{reverse('operator-audit')}?{urlencode({'chain': name})}")


def _tell(request: HttpRequest, found: AuditVerification) -> None:
    if found.broken_sequence is None:
        text = ngettext("The chain holds: %(count)d link.", "The chain holds: %(count)d links.", found.links)
        messages.success(request, text % {"count": found.links})
    else:
        messages.error(request, _("The chain is broken at link %(number)d.") % {"number": found.broken_sequence})
