"""Notices to the organisation. Marking, answering and choosing are for people: a key has no inbox."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, next_address, parameters
from gateway.api.view import ApiView
from identity import access
from identity.errors import NotFound
from identity.models import Notice
from identity.notice_wording import word


class NoticeSerializer(serializers.Serializer[Any]):
    """A notice, worded in English."""

    id = serializers.IntegerField()
    kind = serializers.CharField(help_text="Such as `budget.reached`.")
    level = serializers.ChoiceField(choices=Notice.Level.values)
    created_at = serializers.DateTimeField()
    title = serializers.CharField()
    text = serializers.CharField()
    link = serializers.URLField(allow_null=True, help_text="The page that shows what it is about.")
    context = serializers.DictField(  # type: ignore[assignment]  # a field of ours, not the attribute
        help_text="The figures and names that the text is made with."
    )


class NoticePageSerializer(serializers.Serializer[Any]):
    """Notices, the newest first."""

    results = NoticeSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class NoticesView(ApiView):
    """`/api/notices`."""

    @extend_schema(
        operation_id="notices_list",
        summary="List the organisation's notices",
        tags=["Notices"],
        parameters=[PageQuery],
        responses={200: NoticePageSerializer, **errors_of(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List what the organisation's members were told, newest first. Needs `tenant:manage`.

        Marking as read, answers and choices are a person's own and made in the console.
        """
        given = parameters(PageQuery, request)
        notices = access.tenant_notices_for(self.caller(request)).select_related("tenant")
        if "cursor" in given:
            notices = notices.filter(pk__lt=given["cursor"])
        rows = list(notices[: given["limit"] + 1])
        page = rows[: given["limit"]]
        cursor = page[-1].pk if len(rows) > len(page) else None
        return Response({"results": [shown(row) for row in page], "next": next_address(request, cursor)})


class NoticeView(ApiView):
    """`/api/notices/{notice_id}`."""

    @extend_schema(
        operation_id="notices_read",
        summary="Read one notice",
        tags=["Notices"],
        responses={200: NoticeSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, notice_id: int) -> Response:
        """Read one notice of the organisation. Needs `tenant:manage`."""
        notices = access.tenant_notices_for(self.caller(request)).select_related("tenant")
        found = notices.filter(pk=notice_id).first() if notice_id < 2**63 else None
        if found is None:
            raise NotFound("notice")
        return Response(shown(found))


def shown(notice: Notice) -> dict[str, Any]:
    """A notice as the API shows it."""
    assert notice.tenant is not None
    worded = word(notice, language="en", time_zone=notice.tenant.time_zone)
    values = {
        "id": notice.pk,
        "kind": notice.kind,
        "level": notice.level,
        "created_at": notice.created_at,
        "title": worded.title,
        "text": worded.text,
        "link": f"{settings.PUBLIC_URL}{worded.path}" if worded.path else None,
        "context": notice.context,
    }
    return dict(NoticeSerializer(values).data)
