"""Try it: the conversation of a model's page, and what an answer cost."""

from uuid import UUID

from django.db import connections
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.urls import reverse
from django.utils.translation import get_language
from django.views.decorators.http import require_GET, require_POST

from billing.models import UsageRecord
from billing.usage.records import Filters, Reader, records_page
from console import formats
from console.pages import tenant_page
from console.try_it import answer, read_conversation
from identity import access
from identity.access import Caller
from identity.errors import Conflict, Invalid
from identity.permissions import Permission
from identity.playground import playground_secret


@tenant_page(Permission.PLAYGROUND_USE)
@require_POST
def try_it(request: HttpRequest, caller: Caller, model: str) -> HttpResponseBase:
    """The answer as it comes, server-sent events. Whoever stops reading frees the engine."""
    try:
        conversation = read_conversation(request.body)
        project = access.project_for(caller, conversation.project_id)
        key = playground_secret(caller, project)
    except Invalid as error:
        return JsonResponse({"code": "invalid", "field": error.field}, status=400)
    except Conflict:
        return JsonResponse({"code": "project_archived"}, status=409)
    # An answer takes minutes, and needs none of the few connections to the database.
    connections.close_all()
    events = StreamingHttpResponse(answer(conversation.request(model), key), content_type="text/event-stream")
    events["X-Accel-Buffering"] = "no"  # proxies such as nginx would collect it
    return events


@tenant_page(Permission.PLAYGROUND_USE)
@require_GET
def bill(request: HttpRequest, caller: Caller, model: str, request_id: UUID) -> HttpResponseBase:
    """What one's own answer cost, from the ledger; `is_settled` false while it is not there yet."""
    found = records_page(Reader(caller.tenant.pk), Filters(request_id=request_id), size=1).records
    own = [record for record in found if caller.person and record.owner == caller.person.pseudonym]
    return JsonResponse(_told(caller, own[0]) if own else {"is_settled": False})


def _told(caller: Caller, record: UsageRecord) -> dict[str, object]:
    language = (get_language() or "en").partition("-")[0]
    return {
        "is_settled": True,
        "status": record.status,
        "cost_nano_eur": record.cost_nano_eur,
        "cost": formats.money(record.cost_nano_eur, language),
        "exact_cost": formats.exact_money(record.cost_nano_eur, language),
        "first_token": formats.duration(record.ttft_ms, language) if record.ttft_ms is not None else "",
        "input_tokens": record.input_quantity + record.cached_quantity,
        "output_tokens": record.output_quantity,
        "reasoning_tokens": record.reasoning_quantity,
        "request": reverse("request", kwargs={"slug": caller.tenant.slug, "request_id": record.request_id}),
    }
