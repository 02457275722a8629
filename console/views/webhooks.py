"""An organisation's webhooks: added, tested, rotated, deleted, and what became of their deliveries."""

from collections.abc import Callable
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.pages import tenant_page
from console.setting_forms import WebhookForm
from console.views.settings import settings_page
from identity.access import Caller, webhook_for, webhooks_for
from identity.errors import Conflict, Invalid
from identity.models import NoticeDelivery
from identity.notice_wording import word
from identity.permissions import Permission
from identity.webhooks import (
    WEBHOOKS_MAX,
    add_webhook,
    change_webhook,
    delete_webhook,
    deliveries_of,
    rotate_webhook_secret,
    send_again,
    try_webhook,
)


@require_http_methods(["GET", "POST"])
@tenant_page(Permission.WEBHOOK_READ)
def webhooks(request: HttpRequest, caller: Caller) -> HttpResponse:
    """All of them, and a form for another one. Its secret is shown in the answer, once."""
    form = WebhookForm(request.POST or None)
    made = secret = None
    if request.method == "POST" and form.is_valid():
        try:
            made, secret = add_webhook(by=caller, **form.cleaned_data)
        except Invalid as error:
            form.add_error(error.field, error.message)
        except Conflict as error:
            form.add_error(None, str(error))
        else:
            form = WebhookForm()
    shown = {
        "webhooks": webhooks_for(caller),
        "form": form,
        "made": made,
        "secret": secret,
        "most": WEBHOOKS_MAX,
        "is_mailing": settings.MAIL_IS_SET_UP,
    }
    return settings_page(request, caller, "webhooks", "webhooks", **shown)


@require_http_methods(["GET", "POST"])
@tenant_page(Permission.WEBHOOK_READ)
def webhook(request: HttpRequest, caller: Caller, webhook_id: UUID) -> HttpResponse:
    """One webhook, its settings and its last deliveries."""
    found = webhook_for(caller, webhook_id)
    form = WebhookForm.of(found, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            change_webhook(by=caller, public_id=webhook_id, **form.cleaned_data)
        except Invalid as error:
            form.add_error(error.field, error.message)
        else:
            messages.success(request, _("The webhook was saved and is on."))
            return redirect("webhook", slug=caller.tenant.slug, webhook_id=webhook_id)
    return _page(request, caller, webhook_id, form=form)


@require_POST
@tenant_page(Permission.WEBHOOK_UPDATE)
def rotate(request: HttpRequest, caller: Caller, webhook_id: UUID) -> HttpResponse:
    """A new secret, shown in the answer, once."""
    _webhook, secret = rotate_webhook_secret(by=caller, public_id=webhook_id)
    return _page(request, caller, webhook_id, secret=secret)


@require_POST
@tenant_page(Permission.WEBHOOK_UPDATE)
def test(request: HttpRequest, caller: Caller, webhook_id: UUID) -> HttpResponse:
    """Send a test and say what became of it."""
    _tell(request, lambda: try_webhook(by=caller, public_id=webhook_id))
    return redirect("webhook", slug=caller.tenant.slug, webhook_id=webhook_id)


@require_POST
@tenant_page(Permission.WEBHOOK_UPDATE)
def again(request: HttpRequest, caller: Caller, webhook_id: UUID, delivery_id: UUID) -> HttpResponse:
    """Send a delivery again and say what became of it."""
    _tell(request, lambda: send_again(by=caller, public_id=webhook_id, delivery_id=delivery_id))
    return redirect("webhook", slug=caller.tenant.slug, webhook_id=webhook_id)


@require_POST
@tenant_page(Permission.WEBHOOK_UPDATE)
def delete(request: HttpRequest, caller: Caller, webhook_id: UUID) -> HttpResponse:
    """Delete it."""
    delete_webhook(by=caller, public_id=webhook_id)
    messages.success(request, _("The webhook was deleted."))
    return redirect("webhooks", slug=caller.tenant.slug)


def _tell(request: HttpRequest, send: Callable[[], NoticeDelivery]) -> None:
    """The outcome of a delivery as a message of the next page."""
    try:
        delivery = send()
    except Conflict:
        messages.error(request, _("The webhook is off. Save it to switch it on again."))
        return
    if delivery.state == NoticeDelivery.State.SENT:
        messages.success(request, _("Delivered: the receiver answered %(status)s.") % {"status": delivery.fault_status})
    else:
        messages.error(request, reason_of(delivery))


def reason_of(delivery: NoticeDelivery) -> str:
    """Why the last attempt failed, in the reader's language; empty where it did not."""
    if delivery.fault not in NoticeDelivery.Fault.values or not delivery.fault:
        return ""
    reason = str(NoticeDelivery.Fault(delivery.fault).label)
    return f"{reason} ({delivery.fault_status})" if delivery.fault_status else reason


def _page(
    request: HttpRequest, caller: Caller, webhook_id: UUID, form: WebhookForm | None = None, secret: str | None = None
) -> HttpResponse:
    found = webhook_for(caller, webhook_id)
    language, zone = get_language() or "en", caller.tenant.time_zone
    deliveries = [
        (delivery, word(delivery.notice, language=language, time_zone=zone), reason_of(delivery))
        for delivery in deliveries_of(found)
    ]
    shown = {"webhook": found, "form": form or WebhookForm.of(found), "secret": secret, "deliveries": deliveries}
    return settings_page(request, caller, "webhooks", "webhook", **shown)
