"""Access reviews: look at everybody, decide, sign, keep the copy."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from console.member_forms import RoleForm, roles_to_give
from console.pages import tenant_page
from console.refusals import sentence_of
from identity import access_reviews
from identity.access import Caller
from identity.errors import Conflict, Forbidden
from identity.models import Role
from identity.permissions import Permission

# Reviews are rare, some a year: those of decades fit.
_SHOWN_MAX = 100


@require_GET
@tenant_page(Permission.MEMBER_READ)
def reviews(request: HttpRequest, caller: Caller) -> HttpResponse:
    """The reviews that there were, and the one that is open."""
    found = list(access_reviews.reviews_for(caller)[:_SHOWN_MAX])
    shown = {"reviews": found, "has_open": any(review.signed_off_at is None for review in found)}
    return render(request, "console/members/reviews.html", shown)


@require_POST
@tenant_page(Permission.MEMBER_REVIEW)
def review_start(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Begin one."""
    try:
        review = access_reviews.start_review(by=caller)
    except Conflict as error:
        messages.error(request, sentence_of(error))
        return redirect("access-reviews", slug=caller.tenant.slug)
    return redirect("access-review", slug=caller.tenant.slug, review_id=review.pk)


@require_GET
@tenant_page(Permission.MEMBER_READ)
def review(request: HttpRequest, caller: Caller, review_id: int) -> HttpResponse:
    """One review: its lines, and what was decided."""
    found = access_reviews.review_for(caller, review_id)
    lines = access_reviews.lines_of(found)
    shown = {
        "review": found,
        "lines": lines,
        "undecided": sum(1 for line in lines if not line.decision),
        "is_open": found.signed_off_at is None and caller.may(Permission.MEMBER_REVIEW),
        "roles_to_give": roles_to_give(caller),
        "role_names": {role.value: role.label for role in Role},
    }
    return render(request, "console/members/review.html", shown)


@require_POST
@tenant_page(Permission.MEMBER_REVIEW)
def review_decide(request: HttpRequest, caller: Caller, review_id: int, line_id: int) -> HttpResponse:
    """Confirm, change or remove a line."""
    try:
        _decide(request, caller, review_id, line_id)
    except (Conflict, Forbidden) as error:
        messages.error(request, sentence_of(error))
    address = redirect("access-review", slug=caller.tenant.slug, review_id=review_id)
    address["Location"] += f"#line-{line_id}"
    return address


@require_POST
@tenant_page(Permission.MEMBER_REVIEW)
def review_sign(request: HttpRequest, caller: Caller, review_id: int) -> HttpResponse:
    """Vouch for it."""
    try:
        access_reviews.sign_off(by=caller, review_id=review_id)
        messages.success(request, _("The access review is signed off."))
    except Conflict as error:
        messages.error(request, sentence_of(error))
    return redirect("access-review", slug=caller.tenant.slug, review_id=review_id)


@require_GET
@tenant_page(Permission.MEMBER_READ)
def review_csv(request: HttpRequest, caller: Caller, review_id: int) -> HttpResponse:
    """The copy."""
    found = access_reviews.review_for(caller, review_id)
    name = f"access-review-{caller.tenant.slug}-{found.started_at:%Y-%m-%d}.csv"
    return HttpResponse(
        access_reviews.csv_of(found),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _decide(request: HttpRequest, caller: Caller, review_id: int, line_id: int) -> None:
    decision = request.POST.get("decision", "")
    if decision == "confirm":
        access_reviews.confirm(by=caller, review_id=review_id, line_id=line_id)
    elif decision == "remove":
        access_reviews.remove(by=caller, review_id=review_id, line_id=line_id)
    else:
        form = RoleForm({"reach": "all"} | request.POST.dict(), caller=caller)
        if not form.is_valid():
            raise Conflict(_("choose a role"))
        access_reviews.change(by=caller, review_id=review_id, line_id=line_id, role=form.chosen_role)
