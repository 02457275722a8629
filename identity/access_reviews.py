"""Access reviews: somebody looks at every member of a tenant, decides, and signs (SecNumCloud 3.2, 9.4.b).

A review keeps each member as it found them: role, projects, source, last sign-in, keys. Each line is confirmed, or the
member is changed or removed by the ordinary verbs. Who signs vouches for all lines: the signature's audit record has
the SHA-256 of the review's CSV, so that a copy that was exported then can be compared with it for ever.
"""

import csv
import hashlib
import io
from collections.abc import Sequence

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller
from identity.errors import Conflict, NotFound
from identity.member_list import Member, members_of
from identity.members import change_member, projects_of, remove_member
from identity.models import AccessReview, AccessReviewLine, Membership, Person, Project, Role
from identity.permissions import Permission
from identity.spreadsheet import safe_cell

Decision = AccessReviewLine.Decision
CSV_HEAD = (
    "person", "name", "email", "role", "projects", "source", "last_sign_in", "live_keys",
    "decision", "role_after", "decided_by", "decided_at",
)  # fmt: skip


def start_review(*, by: Caller) -> AccessReview:
    """Write down who has access now. Raises `Forbidden`, `Conflict` (one is open)."""
    by.require(Permission.MEMBER_REVIEW)
    with transaction.atomic():
        try:
            with transaction.atomic():
                review = AccessReview.objects.create(tenant=by.tenant, started_by=by.person, started_at=timezone.now())
        except IntegrityError:
            raise Conflict(_("an access review is open already")) from None
        lines = [_line(review, member) for member in members_of(by)]
        AccessReviewLine.objects.bulk_create(lines)
        detail = {"members": len(lines)}
        audit.record(tenant=by.tenant, actor=by.actor, action="access_review.started", target=review, detail=detail)
    return review


def confirm(*, by: Caller, review_id: int, line_id: int) -> None:
    """The member keeps what they have. Raises `NotFound`, `Forbidden`, `Conflict` (decided, signed, changed since)."""
    with transaction.atomic():
        line = _locked_line(by, review_id, line_id)
        membership = Membership.objects.select_for_update().filter(tenant=by.tenant, person=line.person).first()
        if membership is None:
            raise Conflict(_("the person is no member any more: remove the line"))
        projects = [project.name for project in projects_of(membership) or ()]
        if (membership.role, membership.in_all_projects, projects) != (line.role, line.in_all_projects, line.projects):
            raise Conflict(_("the member's role or projects changed since the review began: change the line"))
        _decide(by, line, Decision.CONFIRMED, role_after=line.role)


def change(*, by: Caller, review_id: int, line_id: int, role: Role, projects: Sequence[Project] | None = None) -> None:
    """The member gets another role or other projects, as by `members.change_member`, and may raise as that does."""
    with transaction.atomic():
        line = _locked_line(by, review_id, line_id)
        change_member(by=by, person=_person_of(line), role=role, projects=projects)
        _decide(by, line, Decision.CHANGED, role_after=role.value)


def remove(*, by: Caller, review_id: int, line_id: int, heir: Person | None = None) -> None:
    """The member goes, as by `members.remove_member`, and may raise as that does. Who left already is gone."""
    with transaction.atomic():
        line = _locked_line(by, review_id, line_id)
        if Membership.objects.filter(tenant=by.tenant, person=line.person).exists():
            remove_member(by=by, person=_person_of(line), heir=heir)
        _decide(by, line, Decision.REMOVED, role_after="")


def sign_off(*, by: Caller, review_id: int) -> AccessReview:
    """Vouch for the review, which is closed by that. Raises `NotFound`, `Forbidden`, `Conflict` (undecided lines)."""
    with transaction.atomic():
        review = _locked(by, review_id)
        undecided = review.lines.filter(decision="").count()
        if undecided:
            raise Conflict(_("lines that are not decided yet: %(count)s") % {"count": undecided})
        now = timezone.now()
        AccessReview.objects.filter(pk=review.pk).update(signed_off_by=by.person, signed_off_at=now)
        review.refresh_from_db()
        detail = {
            "decisions": {decision.value: review.lines.filter(decision=decision).count() for decision in Decision},
            "csv_sha256": hashlib.sha256(csv_of(review).encode()).hexdigest(),
        }
        audit.record(tenant=by.tenant, actor=by.actor, action="access_review.signed_off", target=review, detail=detail)
    return review


def reviews_for(caller: Caller) -> QuerySet[AccessReview]:
    """The tenant's reviews with their counts (`members`, `undecided`), the newest first. Raises `Forbidden`."""
    caller.require(Permission.MEMBER_READ)
    counted = AccessReview.objects.filter(tenant=caller.tenant).annotate(
        members=Count("lines"), undecided=Count("lines", filter=Q(lines__decision=""))
    )
    return counted.select_related("started_by", "signed_off_by").order_by("-started_at", "-pk")


def review_for(caller: Caller, review_id: int, permission: Permission = Permission.MEMBER_READ) -> AccessReview:
    """One review. Raises `NotFound`, `Forbidden`."""
    found = AccessReview.objects.filter(tenant=caller.tenant, pk=review_id)
    review = found.select_related("started_by", "signed_off_by").first()
    if review is None:
        raise NotFound("access review")
    caller.require(permission)
    return review


def lines_of(review: AccessReview) -> list[AccessReviewLine]:
    """Its lines by name."""
    lines = review.lines.select_related("person", "decided_by")
    return sorted(lines, key=lambda line: (str(line.person or "").casefold(), line.pk))


def csv_of(review: AccessReview) -> str:
    """The review as CSV (RFC 4180): a head, a line a member, and who started and signed it."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(CSV_HEAD)
    for line in lines_of(review):
        rows.writerow([safe_cell(cell) for cell in _cells(line)])
    for word, person, at in (
        ("started", review.started_by, review.started_at),
        ("signed_off", review.signed_off_by, review.signed_off_at),
    ):
        cells = [str(person.pseudonym) if person else "", str(person or ""), person.email if person else ""]
        rows.writerow([safe_cell(cell) for cell in (*cells, word, *[""] * 7, at.isoformat() if at else "")])
    return text.getvalue()


def _line(review: AccessReview, member: Member) -> AccessReviewLine:
    return AccessReviewLine(
        review=review,
        person=member.person,
        pseudonym=member.person.pseudonym,
        role=member.role,
        in_all_projects=member.projects is None,
        projects=[project.name for project in member.projects or ()],
        source=member.source,
        last_sign_in_at=member.last_sign_in_at,
        live_keys=member.live_keys,
    )


def _locked(by: Caller, review_id: int) -> AccessReview:
    review_for(by, review_id, Permission.MEMBER_REVIEW)
    review = AccessReview.objects.select_for_update().get(pk=review_id)
    if review.signed_off_at is not None:
        raise Conflict(_("the access review is signed off"))
    return review


def _locked_line(by: Caller, review_id: int, line_id: int) -> AccessReviewLine:
    """An undecided line of an open review."""
    review = _locked(by, review_id)
    line = review.lines.select_related("person").filter(pk=line_id).first()
    if line is None:
        raise NotFound("line")
    if line.decision:
        raise Conflict(_("the line is decided already"))
    return line


def _person_of(line: AccessReviewLine) -> Person:
    if line.person is None:
        raise NotFound("member")
    return line.person


def _decide(by: Caller, line: AccessReviewLine, decision: Decision, *, role_after: str) -> None:
    AccessReviewLine.objects.filter(pk=line.pk).update(
        decision=decision, role_after=role_after, decided_by=by.person, decided_at=timezone.now()
    )
    detail = {"decision": decision.value, "person": str(line.pseudonym), "role": line.role, "role_after": role_after}
    target = audit.Target("accessreview", str(line.review_id))
    audit.record(tenant=by.tenant, actor=by.actor, action="access_review.decided", target=target, detail=detail)


def _cells(line: AccessReviewLine) -> tuple[str, ...]:
    return (
        str(line.pseudonym),
        line.person.name if line.person else "",
        line.person.email if line.person else "",
        line.role,
        "all" if line.in_all_projects else "; ".join(line.projects),
        line.source,
        line.last_sign_in_at.isoformat() if line.last_sign_in_at else "",
        str(line.live_keys),
        line.decision,
        line.role_after,
        str(line.decided_by or ""),
        line.decided_at.isoformat() if line.decided_at else "",
    )
