"""Who is in the organisation, who was invited, who asks to come in."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.member_forms import HeirForm, InvitationForm, RoleForm, roles_to_give
from console.pages import tenant_page
from console.refusals import sentence_of, show_at_form
from console.role_words import WHAT_A_ROLE_DOES, WHERE_A_SOURCE_IS_CHANGED
from identity import access_requests, invitations
from identity.access import Caller
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.member_list import Member, colleagues_of, member_for, members_page
from identity.members import change_member, remove_member
from identity.models import Role
from identity.permissions import Permission
from identity.support_sessions import is_live, sessions_for
from identity.unlinking import has_own_account, unlink_member

# The newest so many; the audit has all.
_SESSIONS_SHOWN = 5
_MEMBERS_SHOWN = 50  # on a page


@require_GET
@tenant_page(Permission.MEMBER_READ)
def members(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Who asks, who is in, who was invited, who of the operator looked in."""
    text, role = request.GET.get("q", "")[:200].strip(), request.GET.get("role", "")
    start, now = _start(request), timezone.now()
    page = members_page(caller, text=text, role=role, start=start, size=_MEMBERS_SHOWN)
    shown = {
        "members": page.members,
        "fitting": page.fitting,
        "total": page.total,
        "next": page.next or "",
        "is_first": not start,
        "text": text,
        "role": role,
        "roles": list(Role),
        "roles_to_give": roles_to_give(caller) if caller.may(Permission.MEMBER_UPDATE) else [],
        "requests": list(access_requests.open_requests(caller)),
        "invitations": list(invitations.invitations_for(caller)),
        "sessions": [(session, is_live(session, now)) for session in sessions_for(caller)[:_SESSIONS_SHOWN]],
    }
    return render(request, "console/members/members.html", shown)


@require_http_methods(["GET", "POST"])
@tenant_page(Permission.MEMBER_INVITE)
def member_invite(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Ask an address to become a member."""
    form = InvitationForm(request.POST or None, caller=caller)
    if request.method == "POST" and form.is_valid():
        try:
            invitation = invitations.invite(
                by=caller, email=form.cleaned_data["email"], role=form.chosen_role, projects=form.chosen_projects
            )
        except (Invalid, Conflict, Forbidden) as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("%(email)s is invited.") % {"email": invitation.email})
            return redirect("members", slug=caller.tenant.slug)
    shown = {
        "form": form,
        "descriptions": _descriptions(caller),
        "days": invitations.LIFETIME.days,
        "is_mailed": settings.MAIL_IS_SET_UP,
        "address": settings.PUBLIC_URL,
    }
    return render(request, "console/members/invite.html", shown)


@require_POST
@tenant_page(Permission.MEMBER_INVITE)
def invitation_withdraw(request: HttpRequest, caller: Caller, invitation_id: int) -> HttpResponse:
    """Take an invitation back."""
    invitations.withdraw(by=caller, invitation_id=invitation_id)
    messages.success(request, _("The invitation is withdrawn."))
    return redirect("members", slug=caller.tenant.slug)


@require_GET
@tenant_page(Permission.MEMBER_READ)
def member(request: HttpRequest, caller: Caller, pseudonym: UUID) -> HttpResponse:
    """One member: what they are, and how to change that."""
    found = member_for(caller, pseudonym)
    return _member_page(request, caller, found, RoleForm(caller=caller, member=found))


@require_POST
@tenant_page(Permission.MEMBER_UPDATE)
def member_change(request: HttpRequest, caller: Caller, pseudonym: UUID) -> HttpResponse:
    """Another role, other projects."""
    found = member_for(caller, pseudonym)
    form = RoleForm(request.POST, caller=caller, member=found)
    if form.is_valid():
        try:
            change_member(by=caller, person=found.person, role=form.chosen_role, projects=form.chosen_projects)
        except (Conflict, Forbidden) as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("%(name)s has another role.") % {"name": found.person})
            return redirect("members", slug=caller.tenant.slug)
    return _member_page(request, caller, found, form)


@require_POST
@tenant_page(Permission.MEMBER_UPDATE)
def member_remove(request: HttpRequest, caller: Caller, pseudonym: UUID) -> HttpResponse:
    """End a membership; somebody else answers for the keys."""
    found = member_for(caller, pseudonym)
    form = HeirForm(request.POST, people=colleagues_of(caller, found.person))
    try:
        remove_member(by=caller, person=found.person, heir=form.chosen if form.is_valid() else None)
    except (Invalid, Conflict, Forbidden) as error:
        messages.error(request, sentence_of(error))
        return redirect("member", slug=caller.tenant.slug, pseudonym=pseudonym)
    messages.success(request, _("%(name)s is no member any more.") % {"name": found.person})
    # Who removed themselves has nothing to see here any more.
    return redirect("front") if found.person == caller.person else redirect("members", slug=caller.tenant.slug)


@require_POST
@tenant_page(Permission.MEMBER_UPDATE)
def member_unlink(request: HttpRequest, caller: Caller, pseudonym: UUID) -> HttpResponse:
    """The next sign-in links anew."""
    found = member_for(caller, pseudonym)
    try:
        unlink_member(by=caller, person=found.person, now=timezone.now())
    except NotFound:
        messages.error(request, _("%(name)s is not linked to an account any more.") % {"name": found.person})
    except (Conflict, Forbidden) as error:
        messages.error(request, sentence_of(error))
    else:
        messages.success(request, _("%(name)s is linked anew at the next sign-in.") % {"name": found.person})
    return redirect("member", slug=caller.tenant.slug, pseudonym=pseudonym)


@require_POST
@tenant_page(Permission.MEMBER_UPDATE)
def access_request_answer(request: HttpRequest, caller: Caller, asked_id: int) -> HttpResponse:
    """Let somebody in who asked, or not."""
    role = request.POST.get("role", "")
    try:
        if role in [one.value for one in roles_to_give(caller)]:
            access_requests.approve(by=caller, request_id=asked_id, role=Role(role), now=timezone.now())
            messages.success(request, _("The request is approved."))
        else:
            access_requests.refuse(by=caller, request_id=asked_id, now=timezone.now())
            messages.success(request, _("The request is refused."))
    except Conflict as error:
        messages.error(request, sentence_of(error))
    except NotFound:
        messages.error(request, _("Somebody has answered this request already."))
    return redirect("members", slug=caller.tenant.slug)


def _member_page(request: HttpRequest, caller: Caller, found: Member, form: RoleForm) -> HttpResponse:
    may_touch = found.role in roles_to_give(caller) and caller.may(Permission.MEMBER_UPDATE)
    shown = {
        "member": found,
        "form": form,
        "what_it_does": WHAT_A_ROLE_DOES[found.role],
        "descriptions": _descriptions(caller),
        "where": WHERE_A_SOURCE_IS_CHANGED.get(found.source, ""),
        "may_change": may_touch and found.is_changed_here,
        "may_unlink": may_touch and has_own_account(caller.tenant, found.person),
        "heir_form": HeirForm(people=colleagues_of(caller, found.person)) if found.answers_for else None,
    }
    return render(request, "console/members/member.html", shown)


def _descriptions(caller: Caller) -> list[tuple[str, object]]:
    return [(str(role.label), WHAT_A_ROLE_DOES[role]) for role in roles_to_give(caller)]


def _start(request: HttpRequest) -> int:
    """The place in the list of members from which on to show them; nonsense is the beginning."""
    after = request.GET.get("after", "")
    return int(after) if after.isascii() and after.isdecimal() and len(after) < 7 else 0
