"""The inbox: what the console tells whoever is signed in."""

from dataclasses import dataclass

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.pages import is_partial, person_page
from identity.errors import Conflict, Invalid
from identity.models import Notice, Person
from identity.notice_kinds import KINDS, Topic
from identity.notice_wording import Worded, word
from identity.notices import (
    COMMENT_LENGTH_MAX,
    INBOX_LENGTH_MAX,
    UNREAD_SHOWN_MAX,
    answer_notice,
    answer_of,
    inbox,
    mark_all_read,
    mark_read,
    notice_for,
    unread_count,
)


@dataclass(frozen=True, slots=True)
class Line:
    """A notice as its reader sees it."""

    notice: Notice
    worded: Worded
    is_read: bool
    topic: str
    asks: bool


class AnswerForm(forms.Form):
    """Yes or no, and why."""

    answer = forms.ChoiceField(
        label=gettext_lazy("Your answer"),
        choices=[("yes", gettext_lazy("Yes, this suits us")), ("no", gettext_lazy("No, this does not suit us"))],
        widget=forms.RadioSelect(attrs={"class": "form-check-input"}),
    )
    comment = forms.CharField(
        label=gettext_lazy("Comment"),
        required=False,
        max_length=COMMENT_LENGTH_MAX,
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 4}),
        help_text=gettext_lazy("The operator reads it together with the name of your organisation."),
    )


@require_GET
@person_page
def notices(request: HttpRequest, person: Person) -> HttpResponse:
    """The newest notices; all or the unread ones, of one topic or of all."""
    topic = request.GET.get("topic", "")
    unread_only = request.GET.get("unread") == "1"
    kinds = [kind.name for kind in KINDS.values() if kind.topic == topic] if topic in list(Topic) else None
    lines = [
        line_of(person, entry.notice, is_read=entry.is_read)
        for entry in inbox(person, unread_only=unread_only, topic_kinds=kinds)
    ]
    shown = {
        "lines": lines,
        "topics": list(Topic),
        "topic": topic,
        "unread_only": unread_only,
        "is_filtered": unread_only or kinds is not None,
        "is_cut": len(lines) == INBOX_LENGTH_MAX,
        "most": INBOX_LENGTH_MAX,
    }
    return render(request, "console/notices/inbox.html", shown)


@require_http_methods(["GET", "POST"])
@person_page
def notice(request: HttpRequest, person: Person, notice_id: int) -> HttpResponse:
    """One notice, read by being opened, with a form where it asks."""
    found = notice_for(person, notice_id)
    given = answer_of(person, found)
    initial = {"answer": "yes" if given.is_yes else "no", "comment": given.comment} if given else {}
    form = AnswerForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            answer_notice(
                person, notice_id, is_yes=form.cleaned_data["answer"] == "yes", comment=form.cleaned_data["comment"]
            )
        except (Invalid, Conflict) as error:
            form.add_error("comment", str(getattr(error, "message", error)))
        else:
            messages.success(request, _("Your answer was sent to the operator. You can change it here."))
            return redirect("notice", notice_id=notice_id)
    mark_read(person, notice_id)
    shown = {"line": line_of(person, found, is_read=True), "form": form, "given": given}
    return render(request, "console/notices/notice.html", shown)


@require_POST
@person_page
def read_all(request: HttpRequest, person: Person) -> HttpResponse:
    """Mark all as read."""
    mark_all_read(person)
    return redirect("notices")


@require_GET
@person_page
def bell(request: HttpRequest, person: Person) -> HttpResponse:
    """The bell of the frame with its number: every page asks for it once it is there, so that none waits for it."""
    if not is_partial(request):
        return redirect("notices")
    number = unread_count(person)
    shown = f"{UNREAD_SHOWN_MAX}+" if number > UNREAD_SHOWN_MAX else str(number)
    return render(request, "components/bell.html", {"unread": number, "shown": shown, "is_counted": True})


def line_of(person: Person, found: Notice, *, is_read: bool) -> Line:
    """A notice in the person's words."""
    zone = person.time_zone or (found.tenant.time_zone if found.tenant else "UTC")
    worded = word(found, language=person.language, time_zone=zone)
    kind = KINDS.get(found.kind)
    return Line(found, worded, is_read, str(kind.topic.label) if kind else "", asks=bool(kind and kind.asks))
