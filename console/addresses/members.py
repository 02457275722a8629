"""Addresses of members, access reviews and support sessions."""

from django.urls import URLPattern, path

from console.views import access_reviews, members, support

_MEMBERS = "t/<slug:slug>/members"

urlpatterns: list[URLPattern] = [
    path(f"{_MEMBERS}", members.members, name="members"),
    path(f"{_MEMBERS}/invite", members.member_invite, name="member-invite"),
    path(
        f"{_MEMBERS}/invitations/<int:invitation_id>/withdraw", members.invitation_withdraw, name="invitation-withdraw"
    ),
    path(f"{_MEMBERS}/requests/<int:asked_id>", members.access_request_answer, name="access-request-answer"),
    path(f"{_MEMBERS}/reviews", access_reviews.reviews, name="access-reviews"),
    path(f"{_MEMBERS}/reviews/start", access_reviews.review_start, name="access-review-start"),
    path(f"{_MEMBERS}/reviews/<int:review_id>", access_reviews.review, name="access-review"),
    path(f"{_MEMBERS}/reviews/<int:review_id>.csv", access_reviews.review_csv, name="access-review-csv"),
    path(f"{_MEMBERS}/reviews/<int:review_id>/sign-off", access_reviews.review_sign, name="access-review-sign"),
    path(
        f"{_MEMBERS}/reviews/<int:review_id>/lines/<int:line_id>",
        access_reviews.review_decide,
        name="access-review-decide",
    ),
    path(f"{_MEMBERS}/support/<int:support_id>/end", support.support_end, name="support-end"),
    path(f"{_MEMBERS}/support/<int:support_id>/grant", support.support_grant, name="support-grant"),
    path(f"{_MEMBERS}/<uuid:pseudonym>", members.member, name="member"),
    path(f"{_MEMBERS}/<uuid:pseudonym>/change", members.member_change, name="member-change"),
    path(f"{_MEMBERS}/<uuid:pseudonym>/remove", members.member_remove, name="member-remove"),
    path(f"{_MEMBERS}/<uuid:pseudonym>/unlink", members.member_unlink, name="member-unlink"),
]
