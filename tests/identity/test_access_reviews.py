"""Access reviews."""

import csv
import hashlib
import io

import pytest

from identity import access_reviews
from identity.access_reviews import change, confirm, csv_of, lines_of, remove, review_for, sign_off, start_review
from identity.errors import Conflict, Forbidden, NotFound
from identity.members import add_member, change_member, remove_member
from identity.models import AccessReview, AccessReviewLine, AuditEvent, Membership, Person, Role
from identity.projects import create_project
from tests.support.people import TESTS, Cast, as_member, make_cast, make_key, make_person

pytestmark = pytest.mark.usefixtures("database")


def line_of(review: AccessReview, person: Person) -> int:
    return AccessReviewLine.objects.get(review=review, pseudonym=person.pseudonym).pk


def started() -> tuple[Cast, AccessReview]:
    cast = make_cast()
    return cast, start_review(by=as_member(cast.alice, cast.tenant))


def test_a_review_holds_everybody_as_they_are() -> None:
    cast = make_cast()
    second = create_project(cast.tenant, "Second", actor=TESTS)
    dora = make_person("dora")
    add_member(by=as_member(cast.alice, cast.tenant), person=dora, role=Role.AUDITOR, projects=[second])
    make_key(cast.tenant, owner=cast.bob)
    review = start_review(by=as_member(cast.alice, cast.tenant))
    lines = {line.person: line for line in lines_of(review)}
    assert set(lines) == {cast.alice, cast.bob, dora}
    assert (lines[dora].role, lines[dora].projects, lines[dora].source) == ("auditor", ["Second"], "invitation")
    assert (lines[cast.bob].live_keys, lines[cast.alice].live_keys) == (1, 0)


def test_each_line_is_decided_and_somebody_signs() -> None:
    cast, _ = started()
    alice = as_member(cast.alice, cast.tenant)
    review = access_reviews.reviews_for(alice).get()
    fred, gina = (make_person(name, cast.tenant, Role.FINANCE) for name in ("fred", "gina"))
    with pytest.raises(Conflict, match="not decided yet: 2"):
        sign_off(by=alice, review_id=review.pk)
    confirm(by=alice, review_id=review.pk, line_id=line_of(review, cast.alice))
    change(by=alice, review_id=review.pk, line_id=line_of(review, cast.bob), role=Role.AUDITOR)
    assert Membership.objects.get(person=cast.bob).role == "auditor"
    signed = sign_off(by=alice, review_id=review.pk)
    assert (signed.signed_off_by, signed.signed_off_at is not None) == (cast.alice, True)
    event = AuditEvent.objects.get(tenant=cast.tenant, action="access_review.signed_off")
    assert event.detail["decisions"] == {"confirmed": 1, "changed": 1, "removed": 0}
    assert event.detail["csv_sha256"] == hashlib.sha256(csv_of(signed).encode()).hexdigest()
    second = start_review(by=alice)
    assert {line.person for line in lines_of(second)} == {cast.alice, cast.bob, fred, gina}


def test_a_removed_line_is_a_removed_member() -> None:
    cast, review = started()
    alice = as_member(cast.alice, cast.tenant)
    remove(by=alice, review_id=review.pk, line_id=line_of(review, cast.bob))
    with pytest.raises(NotFound):
        as_member(cast.bob, cast.tenant)
    with pytest.raises(Conflict, match="at least one owner"):
        remove(by=alice, review_id=review.pk, line_id=line_of(review, cast.alice))
    assert {line.person: line.decision for line in lines_of(review)} == {cast.alice: "", cast.bob: "removed"}


def test_what_changed_meanwhile_is_not_confirmed_unseen() -> None:
    cast, review = started()
    alice = as_member(cast.alice, cast.tenant)
    change_member(by=alice, person=cast.bob, role=Role.ADMINISTRATOR)
    with pytest.raises(Conflict, match="changed since"):
        confirm(by=alice, review_id=review.pk, line_id=line_of(review, cast.bob))
    remove_member(by=alice, person=cast.bob)
    with pytest.raises(Conflict, match="no member any more"):
        confirm(by=alice, review_id=review.pk, line_id=line_of(review, cast.bob))
    remove(by=alice, review_id=review.pk, line_id=line_of(review, cast.bob))


def test_a_decision_and_a_signature_are_made_once() -> None:
    cast, review = started()
    alice = as_member(cast.alice, cast.tenant)
    with pytest.raises(Conflict, match="open already"):
        start_review(by=alice)
    for person in (cast.alice, cast.bob):
        confirm(by=alice, review_id=review.pk, line_id=line_of(review, person))
    with pytest.raises(Conflict, match="decided already"):
        remove(by=alice, review_id=review.pk, line_id=line_of(review, cast.bob))
    sign_off(by=alice, review_id=review.pk)
    for attempt in (
        lambda: sign_off(by=alice, review_id=review.pk),
        lambda: remove(by=alice, review_id=review.pk, line_id=line_of(review, cast.bob)),
    ):
        with pytest.raises(Conflict, match="signed off"):
            attempt()


def test_I6_who_may_review() -> None:
    cast, review = started()
    line = line_of(review, cast.bob)
    charlie = as_member(cast.charlie, cast.strangers)
    auditor = as_member(make_person("ada", cast.tenant, Role.AUDITOR), cast.tenant)
    for stranger, refusal in ((charlie, NotFound), (auditor, Forbidden), (as_member(cast.bob, cast.tenant), Forbidden)):
        with pytest.raises(refusal):
            confirm(by=stranger, review_id=review.pk, line_id=line)
        with pytest.raises(refusal):
            sign_off(by=stranger, review_id=review.pk)
    assert review_for(auditor, review.pk) == review
    assert list(access_reviews.reviews_for(auditor)) == [review]
    assert list(access_reviews.reviews_for(charlie)) == []
    for nobody in (auditor, as_member(cast.bob, cast.tenant)):
        with pytest.raises(Forbidden):
            start_review(by=nobody)
    own = start_review(by=charlie)
    with pytest.raises(NotFound):
        confirm(by=charlie, review_id=own.pk, line_id=line)


def test_an_administrator_reviews_everybody_but_changes_no_owner() -> None:
    cast, review = started()
    adam = as_member(make_person("adam", cast.tenant, Role.ADMINISTRATOR), cast.tenant)
    with pytest.raises(Forbidden):
        remove(by=adam, review_id=review.pk, line_id=line_of(review, cast.alice))
    confirm(by=adam, review_id=review.pk, line_id=line_of(review, cast.alice))


def test_the_csv_is_safe_for_a_spreadsheet() -> None:
    cast = make_cast()
    Person.objects.filter(pk=cast.bob.pk).update(name='=HYPERLINK("http://evil.example","bob")')
    review = start_review(by=as_member(cast.alice, cast.tenant))
    rows = list(csv.reader(io.StringIO(csv_of(review))))
    assert rows[0] == list(access_reviews.CSV_HEAD)
    assert {len(row) for row in rows} == {len(access_reviews.CSV_HEAD)}
    names = [row[1] for row in rows[1:]]
    assert '\'=HYPERLINK("http://evil.example","bob")' in names
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]


def test_an_erased_person_leaves_a_pseudonym() -> None:
    cast, review = started()
    pseudonym = str(cast.bob.pseudonym)
    AccessReviewLine.objects.filter(review=review, person=cast.bob).update(person=None)
    assert cast.bob.email not in csv_of(review)
    assert pseudonym in csv_of(review)
