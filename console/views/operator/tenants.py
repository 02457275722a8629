"""Organisations as the operator sees them: who is there, make one, make many, suspend one."""

from collections.abc import Callable

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from billing.contracts.tiers import all_tiers, offered_tiers
from billing.tenants.closing import close_tenant, may_be_closed
from billing.tenants.detail import tenant_detail
from billing.tenants.files import OPTIONAL, REQUIRED, read_wishes
from billing.tenants.listed import tenants_for
from billing.tenants.tenants import Outcome, Plan, SlugTaken, import_tenants, plan_tenants, put_tenant
from console.forms.operator_tenants import ReasonForm, TenantFileForm, TenantFilterForm, TenantForm
from console.pages import operator_page
from console.refusals import show_at_form
from console.views.operator.tenant_changes import tenant_or_404
from identity.errors import Conflict, Forbidden, Invalid
from identity.models import Person, Role, Tenant
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission
from identity.tenants import reactivate_tenant, suspend_tenant

_PAGE_SIZE = 25
_WANTED = {"text": "q", "status": "status", "tier": "tier"}
_COMING = {Outcome.MADE: "to_make", Outcome.CHANGED: "to_change"}
_ACTS: dict[str, tuple[Callable[..., bool], Promise]] = {
    "suspend": (suspend_tenant, gettext_lazy("%(name)s is suspended.")),
    "reactivate": (reactivate_tenant, gettext_lazy("%(name)s works again.")),
    "close": (close_tenant, gettext_lazy("%(name)s is closed.")),
}
_EXAMPLE = """external_id,name,tier,owner,time_zone
team-001,Digital services,standard,erin@example.org,Europe/Paris"""


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def tenants(request: HttpRequest, operator: Person) -> HttpResponse:
    """All organisations with what they spent."""
    form = TenantFilterForm(request.GET)
    given = form.cleaned_data if form.is_valid() else {}
    wanted = {name: str(given.get(field, "")) for name, field in _WANTED.items()}
    after: int = given.get("after") or 0
    page = tenants_for(operator_for_person(operator), size=_PAGE_SIZE, after=after, **wanted)
    shown = {
        "page": page,
        **wanted,
        "statuses": Tenant.Status.choices,
        "tiers": all_tiers().values_list("code", "name"),
        "is_first": not after,
        "is_filtered": any(wanted.values()),
    }
    return render(request, "console/operator/tenants/tenants.html", shown)


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def tenant(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """One organisation: contract, limits, projects, how many people."""
    detail = tenant_detail(operator_for_person(operator), slug)
    roles = dict(Role.choices)
    people = [(roles.get(role, role), count) for role, count in detail.people]
    told_by_hand = "" if settings.MAIL_IS_SET_UP else settings.PUBLIC_URL
    shown = {"detail": detail, "people": people, "told_by_hand": told_by_hand}
    return render(request, "console/operator/tenants/tenant.html", shown)


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.TENANT_CREATE)
def tenant_new(request: HttpRequest, operator: Person) -> HttpResponse:
    """Make an organisation."""
    form = TenantForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            plan = put_tenant(by=operator_for_person(operator), wish=form.wish)
        except SlugTaken as error:
            told = _("Another organisation has the short name %(slug)s: give this one another.") % {"slug": error.slug}
            form.add_error("slug", told)
        except (Invalid, Conflict, Forbidden) as error:
            show_at_form(form, error)
        else:
            assert plan.tenant is not None
            messages.success(request, _("The organisation %(name)s is there.") % {"name": plan.tenant.name})
            return redirect("operator-tenant", slug=plan.tenant.slug)
    return render(request, "console/operator/tenants/new.html", {"form": form})


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.TENANT_CREATE)
def tenant_import(request: HttpRequest, operator: Person) -> HttpResponse:
    """Make many: first a look at each line, then, asked once more, the work."""
    form = TenantFileForm(request.POST or None, request.FILES or None)
    plans: list[Plan] = []
    is_done = False
    if "correct" in request.POST:
        form = TenantFileForm(initial={"text": request.POST.get("text", "")})
    elif request.method == "POST" and form.is_valid():
        by = operator_for_person(operator)
        try:
            wishes = read_wishes(form.cleaned_data["text"])
            if "make" in request.POST:
                plans = import_tenants(by=by, wishes=wishes, skip_refused=form.cleaned_data["skip_refused"])
                is_done = form.cleaned_data["skip_refused"] or all(not plan.error for plan in plans)
            else:
                plans = plan_tenants(by=by, wishes=wishes)
        except Invalid as error:
            form.add_error(None, _("The table %(fault)s.") % {"fault": error.message})
    counts = {outcome.value: sum(plan.outcome == outcome for plan in plans) for outcome in Outcome}
    shown = {
        "form": form,
        "lines": _lines(plans, is_done=is_done),
        "is_done": is_done,
        "counts": counts,
        "is_clean": bool(plans) and not counts[Outcome.REFUSED],
        "to_do": counts[Outcome.MADE] + counts[Outcome.CHANGED],
        "text": form.cleaned_data.get("text", "") if form.is_bound and form.is_valid() else "",
        "required": REQUIRED,
        "optional": OPTIONAL,
        "example": _EXAMPLE,
        "tiers": list(offered_tiers().order_by("by_agreement", "id").values_list("code", flat=True)),
    }
    return render(request, "console/operator/tenants/import.html", shown)


def _lines(plans: list[Plan], *, is_done: bool) -> list[tuple[Plan, str, dict[str, tuple[str, str]]]]:
    """Of each line: what comes of it, its state and what differs; what is wrong stands first."""
    lines = []
    for plan in sorted(plans, key=lambda plan: plan.error is None):
        state = plan.outcome.value if is_done else _COMING.get(plan.outcome, plan.outcome.value)
        # The name of a new one stands beside it already.
        parts = {member: values for member, values in plan.changes.items() if member != "name" or values[0]}
        lines.append((plan, state, parts))
    return lines


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.TENANT_SUSPEND)
def tenant_suspend(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """Suspend an organisation, with a reason."""
    return _with_reason(request, operator, slug, "suspend")


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.TENANT_SUSPEND)
def tenant_reactivate(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """End a suspension, with a reason."""
    return _with_reason(request, operator, slug, "reactivate")


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.TENANT_SUSPEND)
def tenant_close(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """Close an organisation that was made by mistake, with a reason."""
    return _with_reason(request, operator, slug, "close")


def _with_reason(request: HttpRequest, operator: Person, slug: str, act: str) -> HttpResponse:
    found = tenant_or_404(slug)
    form = ReasonForm(request.POST or None)
    if act == "close":
        form.fields["reason"].help_text = _("It stays in the audit.")
    if request.method == "POST" and form.is_valid():
        change, told = _ACTS[act]
        try:
            change(found, by=operator_for_person(operator), reason=form.cleaned_data["reason"])
        except (Invalid, Conflict) as error:
            show_at_form(form, error)
        else:
            messages.success(request, str(told) % {"name": found.name})
            return redirect("operator-tenants") if act == "close" else redirect("operator-tenant", slug=slug)
    shown = {"form": form, "tenant": found, "act": act, "may": act != "close" or may_be_closed(found)}
    return render(request, "console/operator/tenants/reason.html", shown)
