"""Requests: the list, what is new in it, and one of them with all that explains it. Never their content."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from billing.limits import standing
from billing.models import Hold, Refusal, UsageRecord
from billing.models.prices import Meter
from billing.usage import activity
from billing.usage.activity import Line, Receipt
from billing.usage.energy import kwh_of
from billing.usage.records import Reader, reader_of_member
from console.limit_words import words_of_limit
from console.pages import is_partial, tenant_page
from console.request_filters import RequestFilter, place_of_text, text_of_place
from console.request_words import FINISHES, UNDER_WAY, Words, words_of_code, words_of_status
from gateway.api.names import KeyName, key_and_project, key_names, project_names
from identity.access import Caller
from identity.errors import NotFound
from identity.permissions import Permission

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Shown:
    """A line of the list."""

    line: Line
    words: Words
    key: KeyName | None
    project: str

    @property
    def tokens_in(self) -> int | None:
        """Of the prompt, the cached ones too."""
        record = self.line.record
        return record.input_quantity + record.cached_quantity if record else None

    @property
    def tokens_out(self) -> int | None:
        """Of the answer, with those of reasoning."""
        record = self.line.record
        return record.output_quantity + record.reasoning_quantity if record else None


@require_GET
@tenant_page(Permission.USAGE_READ)
def requests(request: HttpRequest, caller: Caller) -> HttpResponse:
    """The newest first, refusals included; a pasted id leads to its request."""
    reader, form = reader_of_member(caller), RequestFilter(request.GET, caller)
    pasted = request.GET.get("id", "").strip()[:200]
    if pasted:
        found = activity.request_id_in(pasted)
        if found and _exists(reader, found):
            return redirect("request", slug=caller.tenant.slug, request_id=found)
    wanted, after = form.wanted(timezone.now()), place_of_text(request.GET.get("after", ""))
    page = activity.page(reader, wanted, after=after, size=PAGE_SIZE) if wanted else activity.Page([], None)
    is_first = after is None
    query = request.GET.copy()
    for name in ("after", "since", "id"):
        query.pop(name, None)
    values = {
        "form": form,
        "pasted": pasted,
        "lines": _shown(caller, page.lines, {project.pk: project.name for project in form.projects}),
        "next": text_of_place(page.next) if page.next else "",
        "is_first": is_first,
        "is_live": is_first and wanted is not None,
        "newest": text_of_place(page.lines[0].place) if page.lines else "",
        "query": query.urlencode(),
        "is_filtered": any(value for name, value in query.items() if name != "days"),
    }
    template = "console/requests/_list.html" if is_partial(request) else "console/requests/requests.html"
    return render(request, template, values)


@require_GET
@tenant_page(Permission.USAGE_READ)
def requests_new(request: HttpRequest, caller: Caller) -> HttpResponse:
    """How many requests came since the newest one shown: a button, or nothing. Not asked by htmx: the list itself."""
    if not is_partial(request):
        return redirect("requests", slug=caller.tenant.slug)
    wanted = RequestFilter(request.GET, caller).wanted(timezone.now())
    since = place_of_text(request.GET.get("since", ""))
    query = request.GET.copy()
    query.pop("since", None)
    count = activity.news(reader_of_member(caller), wanted, since=since) if wanted else 0
    values = {"count": count, "is_more": count == activity.NEWS_MAX, "query": query.urlencode()}
    return render(request, "console/requests/_new.html", values)


@require_GET
@tenant_page(Permission.USAGE_READ)
def request_detail(request: HttpRequest, caller: Caller, request_id: UUID) -> HttpResponse:
    """One request: what happened when, what it used and cost, what it counted on."""
    reader = reader_of_member(caller)
    if receipt := activity.receipt(reader, request_id):
        values = _values_of_record(receipt)
    elif hold := activity.running(reader, request_id):
        values = _values_of_hold(hold)
    elif refusal := activity.refusal(reader, request_id):
        values = _values_of_refusal(refusal)
    else:
        raise NotFound("request")
    path = caller.tenant.pk, values["project_id"], values["key_id"]
    values |= {
        "request_id": request_id,
        "key": key_and_project(caller.tenant.pk, values["key_id"]),
        "budgets": standing.budgets_on_path(*path) if caller.may(Permission.BUDGET_READ) else [],
        "limits": standing.limits_on_path(*path) if caller.may(Permission.BUDGET_READ) else [],
    }
    return render(request, "console/requests/request.html", values)


def _exists(reader: Reader, request_id: UUID) -> bool:
    return bool(
        activity.receipt(reader, request_id)
        or activity.refusal(reader, request_id)
        or activity.running(reader, request_id)
    )


def _shown(caller: Caller, lines: Sequence[Line], projects: Mapping[int, str]) -> list[Shown]:
    keys = key_names(caller.tenant.pk, {line.key_id for line in lines})
    unnamed = {line.project_id for line in lines} - projects.keys()
    names = {**projects, **project_names(caller.tenant.pk, unnamed)}
    return [
        Shown(
            line,
            words_of_status(line.record.status)
            if line.record
            else words_of_code(line.refusal.code if line.refusal else ""),
            keys.get(line.key_id),
            names.get(line.project_id, ""),
        )
        for line in lines
    ]


@dataclass(frozen=True, slots=True)
class Moment:
    """A point of a request's time line; `after_ms` since it came in, None for the first."""

    label: Any
    at: datetime
    after_ms: int | None
    note: Any = ""


def _values_of_record(receipt: Receipt) -> dict[str, Any]:
    record = receipt.record
    return {
        "record": record,
        "words": words_of_status(record.status),
        "finish": FINISHES.get(record.finish_reason, record.finish_reason),
        "moments": _moments(receipt),
        "meters": [(Meter(line.meter).label, line) for line in receipt.meters],
        "kwh": _kwh(record),
        "refunded": receipt.refunded_nano_eur,
        "net": record.cost_nano_eur - receipt.refunded_nano_eur,
        "key_id": record.key_id,
        "project_id": record.project_id,
        "model": record.model,
    }


def _kwh(record: UsageRecord) -> Decimal | None:
    if record.kwh_per_million_tokens is None:
        return None
    meters = ("input", "cached", "output", "reasoning")
    return kwh_of(sum(getattr(record, f"{meter}_quantity") for meter in meters), record.kwh_per_million_tokens)


def _moments(receipt: Receipt) -> list[Moment]:
    """Times are the gateway's but for admission and charge, which are the database's: another clock."""
    record = receipt.record
    came = activity.place_of_record(record.request_id).at
    moments = [Moment(_("Came in"), came, None)]
    moments.append(
        Moment(_("Admitted"), record.admitted_at, _ms(record.admitted_at - came), _("Its price was reserved."))
    )
    if record.ttft_ms is not None:
        first = came + timedelta(milliseconds=record.ttft_ms)
        moments.append(Moment(_("First token"), first, record.ttft_ms))
    ended = came + timedelta(milliseconds=record.duration_ms)
    moments.append(Moment(_("End"), ended, record.duration_ms))
    moments.append(
        Moment(
            _("Charged"), record.settled_at, _ms(record.settled_at - came), _("What was reserved beyond it was freed.")
        )
    )
    return moments


def _ms(span: timedelta) -> int:
    return max(span // timedelta(milliseconds=1), 0)


def _values_of_hold(hold: Hold) -> dict[str, Any]:
    came = activity.place_of_record(hold.request_id).at
    return {
        "hold": hold,
        "words": UNDER_WAY,
        "moments": [
            Moment(_("Came in"), came, None),
            Moment(_("Admitted"), hold.admitted_at, _ms(hold.admitted_at - came), _("Its price was reserved.")),
        ],
        "key_id": hold.key_id,
        "project_id": hold.project_id,
        "model": hold.description.get("model", ""),
    }


def _values_of_refusal(refusal: Refusal) -> dict[str, Any]:
    return {
        "refusal": refusal,
        "words": words_of_code(refusal.code),
        "limit": words_of_limit(refusal.limit),
        "moments": [Moment(_("Refused"), refusal.at, None, _("It never reached an engine and costs nothing."))],
        "key_id": refusal.key_id,
        "project_id": refusal.project_id,
        "model": refusal.model,
    }
