"""What may follow the `?` of an address, and how a list continues.

A parameter that is not known is refused: a misspelt filter must not answer with everything.
"""

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from billing.closing.period import month_named
from billing.usage.records import Filters, Grouping, Interval, Reader
from identity import access
from identity.access import Caller
from identity.key_search import TEXT_LENGTH_MAX, Sort, State
from identity.permissions import Permission

PAGE_SIZE = 100
PAGE_SIZE_MAX = 1_000
_LABEL_LENGTH_MAX = 64  # longer ones are refused with their request
_HIGHEST_ID = 2**63 - 1
# Times outside of this fit no request id, and nothing was used then.
_EARLIEST, _LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_USUAL_SPAN = timedelta(days=30)
_LONGEST_SPAN = timedelta(days=400)


@extend_schema_field(str)
class CursorField(serializers.Field[tuple[datetime, UUID], str, str, tuple[datetime, UUID]]):
    """Where a list continues: a time and an id, in a form that is nobody's business."""

    def to_internal_value(self, data: str) -> tuple[datetime, UUID]:
        """The time and the id of the last row of the page before."""
        try:
            at, _, request_id = base64.urlsafe_b64decode(data).decode("ascii").partition("/")
            return datetime.fromisoformat(at).astimezone(UTC), UUID(request_id)
        except (ValueError, OverflowError):
            raise serializers.ValidationError("This does not continue a list: take the one that `next` gave.") from None

    def to_representation(self, value: tuple[datetime, UUID]) -> str:
        """The text for `next`."""
        return base64.urlsafe_b64encode(f"{value[0].isoformat()}/{value[1]}".encode()).decode("ascii")


class TimeField(serializers.DateTimeField):
    """An instant of ISO 8601; without an offset it is UTC."""

    def to_internal_value(self, value: Any) -> datetime:
        """The instant."""
        at = super().to_internal_value(value)
        if not _EARLIEST <= at <= _LATEST:
            raise serializers.ValidationError(f"Must be between {_EARLIEST:%Y-%m-%d} and {_LATEST:%Y-%m-%d}.")
        return at


@extend_schema_field({"type": "string", "pattern": "^20[0-9]{2}-(0[1-9]|1[0-2])$"})
class MonthField(serializers.Field[date, str, str, date]):
    """A month such as `2027-01`, by its first day."""

    def to_internal_value(self, data: object) -> date:
        """Raises ValidationError."""
        found = month_named(data) if isinstance(data, str) else None
        if found is None:
            raise serializers.ValidationError("Give a month, such as 2027-01.")
        return found

    def to_representation(self, value: date) -> str:
        """As it is written."""
        return f"{value:%Y-%m}"


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses members that it does not know: a misspelt restriction must not be a missing one."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Raises ValidationError."""
        unknown = {str(name): "There is no such member." for name in self.initial_data if name not in self.fields}
        if unknown:
            raise serializers.ValidationError(unknown)
        return attrs


class StrictMember(serializers.Serializer[Any]):
    """An object within another; as strict."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Raises ValidationError."""
        read: dict[str, Any] = super().to_internal_value(data)
        unknown = {str(name): "There is no such member." for name in data if name not in self.fields}
        if unknown:
            raise serializers.ValidationError(unknown)
        return read


class TextField(serializers.CharField):
    """Text, and nothing that merely can be written as text."""

    def to_internal_value(self, data: object) -> str:
        """Raises ValidationError."""
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


def optional_text(length: int, help_text: str = "") -> TextField:
    """Text that may be left out or empty, of at most so many characters."""
    return TextField(required=False, allow_blank=True, max_length=length, help_text=help_text)


class YesNoField(serializers.BooleanField):
    """True or false, and no word for it."""

    def to_internal_value(self, data: object) -> bool:
        """Raises ValidationError."""
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Query(StrictSerializer):
    """Base of the parameters of an address."""


class WhoseQuery(Query):
    """Whose usage of what time to look at. `from` is a word of Python's, so that field is made in `get_fields`."""

    key = serializers.CharField(required=False, max_length=16, help_text="The id of an API key.")
    project = serializers.IntegerField(
        required=False, min_value=1, max_value=_HIGHEST_ID, help_text="The id of a project."
    )

    def get_fields(self) -> dict[str, Any]:
        """`from` and `to`: the time of admission."""
        since = TimeField(required=False, help_text="At this time or later (ISO 8601; UTC without an offset).")
        until = TimeField(required=False, help_text="Before this time.")
        return {"from": since, "to": until, **super().get_fields()}


def _model() -> serializers.CharField:
    return serializers.CharField(required=False, max_length=200, help_text="The id of a model, not an alias.")


def _request_id() -> serializers.UUIDField:
    return serializers.UUIDField(required=False, help_text="One request: the `x-request-id` of its answer.")


def _label() -> serializers.CharField:
    return serializers.CharField(
        required=False, max_length=_LABEL_LENGTH_MAX, help_text="What the client sent as `x-beffroi-label`."
    )


def _size() -> serializers.IntegerField:
    return serializers.IntegerField(
        required=False, default=PAGE_SIZE, min_value=1, max_value=PAGE_SIZE_MAX, help_text="Rows a page."
    )


class PageQuery(Query):
    """A page of a list that is continued by id."""

    cursor = serializers.IntegerField(
        required=False, min_value=0, max_value=_HIGHEST_ID, help_text="Where to continue: `next` has it."
    )
    limit = _size()


class KeysQuery(Query):
    """Keys by what is known of them."""

    text = serializers.CharField(
        required=False, max_length=TEXT_LENGTH_MAX, help_text="In the name, or the beginning of the id."
    )
    person = serializers.UUIDField(
        required=False, help_text="The pseudonym of whose key it is, or who answers for it while it works."
    )
    state = serializers.ChoiceField(
        required=False,
        choices=[state.value for state in State],
        help_text="`expiring` within 14 days, `unused` for 90 days, `rotating` while two secrets work.",
    )
    sort = serializers.ChoiceField(
        required=False,
        default=Sort.NEWEST.value,
        choices=[sort.value for sort in Sort],
        help_text="What is made or was used last comes first.",
    )
    cursor = serializers.CharField(required=False, max_length=64, help_text="Where to continue: `next` has it.")
    limit = _size()


class RecordQuery(WhoseQuery):
    """Usage records, by their time of admission."""

    model = _model()
    status = serializers.CharField(
        required=False, max_length=32, help_text="How it ended: `completed`, `client_left`, ..."
    )
    label = _label()  # type: ignore[assignment]  # a field of ours, not the attribute
    request_id = _request_id()
    cursor = serializers.UUIDField(required=False, help_text="Where to continue: `next` has it.")
    limit = _size()


class RefusalQuery(WhoseQuery):
    """Refused requests."""

    model = _model()
    code = serializers.CharField(
        required=False, max_length=64, help_text="Why: the `code` of the error that the client got."
    )
    request_id = _request_id()
    cursor = CursorField(required=False, help_text="Where to continue: `next` has it.")
    limit = _size()


class SpanQuery(WhoseQuery):
    """Sums over a time: 30 days up to now unless told otherwise, at most 400."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Fills in the time."""
        attrs = super().validate(attrs)
        until = attrs.setdefault("to", datetime.now(UTC))
        since = attrs.setdefault("from", until - _USUAL_SPAN)
        if not since < until:
            raise serializers.ValidationError({"to": "Must be later than `from`."})
        if until - since > _LONGEST_SPAN:
            raise serializers.ValidationError({"from": f"At most {_LONGEST_SPAN.days} days at once."})
        return attrs


class LabelsQuery(SpanQuery):
    """Sums by label, which know no key."""

    key = None  # type: ignore[assignment]  # how a serializer leaves a field out
    model = _model()


class SummaryQuery(SpanQuery):
    """Sums of usage."""

    model = _model()
    by = serializers.CharField(
        required=False,
        default=Grouping.MODEL.value,
        allow_blank=True,
        max_length=64,
        help_text="What to add up by, separated by commas: `model`, `key`, `project`; empty: everything together.",
    )
    interval = serializers.ChoiceField(
        required=False,
        default=Interval.DAY.value,
        choices=[interval.value for interval in Interval],
        help_text="`hour` (UTC), `day` (of the organisation's time zone) or `all` (the whole time in one).",
    )

    def validate_by(self, value: str) -> list[Grouping]:
        """The groups, each once."""
        try:
            return [Grouping(word) for word in dict.fromkeys(filter(None, value.split(",")))]
        except ValueError:
            raise serializers.ValidationError("Words of `model`, `key`, `project`, separated by commas.") from None


def parameters(query: type[Query], request: Request) -> dict[str, Any]:
    """The parameters of the address; raises ValidationError."""
    given = request.query_params
    twice = {name: "Give it once." for name in given if len(given.getlist(name)) > 1}
    if twice:
        raise serializers.ValidationError(twice)
    # As a plain dict: in a form, an empty value would count as none, and `?to=` would answer with everything.
    read = query(data=given.dict())
    read.is_valid(raise_exception=True)
    return dict(read.validated_data)


def reader_and_filters(caller: Caller, given: Mapping[str, Any]) -> tuple[Reader, Filters]:
    """Whose usage the caller may read, and what of it was asked for.

    A key reads its own records; with `usage:read:tenant` those of its organisation. Raises `NotFound` for a key or
    project that the caller may not know of, `Forbidden` for one whose records it may not read.
    """
    assert caller.key is not None
    whole = caller.may(Permission.USAGE_READ_TENANT)
    reader = Reader(caller.tenant.pk, None if whole else caller.key.pk)
    # The scope is about the whole organisation, while a key else is confined to its project.
    within = replace(caller, project_ids=None) if whole else caller
    filters = Filters(
        since=given.get("from"),
        until=given.get("to"),
        model=given.get("model", ""),
        label=given.get("label", ""),
        status=given.get("status", ""),
        request_id=given.get("request_id"),
    )
    if "key" in given and given["key"] != caller.key.lookup:
        key = access.key_for(within, given["key"], Permission.USAGE_READ_TENANT)
        filters = replace(filters, key_id=key.pk)
    elif "key" in given:
        filters = replace(filters, key_id=caller.key.pk)
    if "project" in given:
        project = access.project_for(within, given["project"], Permission.USAGE_READ)
        filters = replace(filters, project_id=project.pk)
    return reader, filters


def next_address(request: Request, cursor: object) -> str | None:
    """Where the list continues after `cursor`; None at its end."""
    if cursor is None:
        return None
    kept = {name: value for name, value in request.query_params.items() if name != "cursor"}
    return request.build_absolute_uri(f"{request.path}?{urlencode(kept | {'cursor': str(cursor)})}")
