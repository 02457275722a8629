"""Webhooks: where the organisation's notices are posted to, signed by Standard Webhooks 1.0."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.problems import errors_of
from gateway.api.queries import StrictSerializer
from gateway.api.view import ApiView
from identity import access
from identity.models import NoticeDelivery, Webhook
from identity.notice_kinds import KINDS
from identity.permissions import Permission
from identity.webhooks import (
    add_webhook,
    change_webhook,
    delete_webhook,
    deliveries_of,
    rotate_webhook_secret,
    send_again,
    try_webhook,
)


class NewWebhookSerializer(StrictSerializer):
    """A webhook to be."""

    name = serializers.CharField(max_length=200)
    url = serializers.CharField(max_length=2048, help_text="Where to: `https://host/path`, in no private network.")
    kinds = serializers.ListField(
        child=serializers.ChoiceField(choices=sorted(KINDS)),
        required=False,
        max_length=len(KINDS),
        help_text="Only these kinds of notices; empty: all.",
    )


class WebhookSerializer(serializers.Serializer[Any]):
    """A webhook, without its secret."""

    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField()
    url = serializers.CharField()
    kinds = serializers.ListField(child=serializers.CharField(), help_text="Empty: all.")
    status = serializers.CharField(help_text="`active`; `gone`, `failing`: off, and PUT switches it on again.")
    old_secret_until = serializers.DateTimeField(
        allow_null=True, help_text="Until when messages are signed with the secret before too."
    )
    created_at = serializers.DateTimeField()


class SecretWebhookSerializer(WebhookSerializer):
    """A webhook with its secret: only the answer that made it has it."""

    secret = serializers.CharField(help_text="`whsec_...`. Keep it now: it is never shown again.")


class WebhookListSerializer(serializers.Serializer[Any]):
    """All webhooks, by name; there are ten at most."""

    results = WebhookSerializer(many=True)


class DeliverySerializer(serializers.Serializer[Any]):
    """A notice on its way to a webhook."""

    id = serializers.UUIDField(source="public_id", help_text="`webhook-id` is `msg_` and this, without hyphens.")
    notice_id = serializers.IntegerField()
    state = serializers.ChoiceField(choices=NoticeDelivery.State.values)
    attempts = serializers.IntegerField()
    fault = serializers.CharField(help_text="Why the last attempt failed; empty: it did not.")
    fault_status = serializers.IntegerField(allow_null=True, help_text="The receiver's HTTP status.")
    next_try_at = serializers.DateTimeField(allow_null=True)
    sent_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class DeliveryListSerializer(serializers.Serializer[Any]):
    """The newest fifty deliveries, newest first."""

    results = DeliverySerializer(many=True)


class WebhooksView(ApiView):
    """`/api/webhooks`."""

    @extend_schema(
        operation_id="webhooks_list",
        summary="List the webhooks",
        tags=["Notices"],
        responses={200: WebhookListSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the organisation's webhooks. Needs `tenant:manage`."""
        webhooks = access.webhooks_for(self.caller(request))
        return Response({"results": WebhookSerializer(webhooks, many=True).data})

    @extend_schema(
        operation_id="webhooks_create",
        summary="Add a webhook",
        tags=["Notices"],
        request=NewWebhookSerializer,
        responses={201: SecretWebhookSerializer, **errors_of(400, 401, 403, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Add a webhook; the answer has its secret. Needs `tenant:manage`."""
        caller = self.caller(request)
        caller.require(Permission.WEBHOOK_UPDATE)
        webhook, secret = add_webhook(by=caller, **_asked(request))
        headers = {"Location": f"/api/webhooks/{webhook.public_id}", "Cache-Control": "no-store"}
        return Response(_with_secret(webhook, secret), status=201, headers=headers)


class WebhookView(ApiView):
    """`/api/webhooks/{webhook_id}`."""

    @extend_schema(
        operation_id="webhooks_read",
        summary="Read one webhook",
        tags=["Notices"],
        responses={200: WebhookSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """Read one webhook. Needs `tenant:manage`."""
        return Response(WebhookSerializer(access.webhook_for(self.caller(request), webhook_id)).data)

    @extend_schema(
        operation_id="webhooks_change",
        summary="Change a webhook",
        tags=["Notices"],
        request=NewWebhookSerializer,
        responses={200: WebhookSerializer, **errors_of(400, 401, 403, 404, 413, 415)},
    )
    def put(self, request: Request, webhook_id: UUID) -> Response:
        """Give it another name, address or choice of kinds, and switch it on if it was off. Needs `tenant:manage`."""
        caller = self.caller(request)
        access.webhook_for(caller, webhook_id, Permission.WEBHOOK_UPDATE)
        return Response(WebhookSerializer(change_webhook(by=caller, public_id=webhook_id, **_asked(request))).data)

    @extend_schema(
        operation_id="webhooks_delete",
        summary="Delete a webhook",
        tags=["Notices"],
        responses={204: None, **errors_of(401, 403, 404)},
    )
    def delete(self, request: Request, webhook_id: UUID) -> Response:
        """Delete it, with its list of deliveries. Needs `tenant:manage`."""
        delete_webhook(by=self.caller(request), public_id=webhook_id)
        return Response(status=204)


class RotateWebhookView(ApiView):
    """`/api/webhooks/{webhook_id}/rotate`."""

    @extend_schema(
        operation_id="webhooks_rotate",
        summary="Give a webhook a new secret",
        tags=["Notices"],
        request=None,
        responses={200: SecretWebhookSerializer, **errors_of(401, 403, 404)},
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Make a new secret; messages are signed with both for 24 hours. Needs `tenant:manage`."""
        webhook, secret = rotate_webhook_secret(by=self.caller(request), public_id=webhook_id)
        return Response(_with_secret(webhook, secret), headers={"Cache-Control": "no-store"})


class TestWebhookView(ApiView):
    """`/api/webhooks/{webhook_id}/test`."""

    __test__ = False  # a view whose name begins like a test's

    @extend_schema(
        operation_id="webhooks_test",
        summary="Send a test to a webhook",
        tags=["Notices"],
        request=None,
        responses={200: DeliverySerializer, **errors_of(401, 403, 404, 409)},
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Send it a test now and answer what became of it, within 15 seconds. Needs `tenant:manage`."""
        return Response(DeliverySerializer(try_webhook(by=self.caller(request), public_id=webhook_id)).data)


class DeliveriesView(ApiView):
    """`/api/webhooks/{webhook_id}/deliveries`."""

    @extend_schema(
        operation_id="webhooks_deliveries",
        summary="List a webhook's last deliveries",
        tags=["Notices"],
        responses={200: DeliveryListSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """List the newest fifty deliveries with their state. Needs `tenant:manage`."""
        webhook = access.webhook_for(self.caller(request), webhook_id)
        return Response({"results": DeliverySerializer(deliveries_of(webhook), many=True).data})


class SendAgainView(ApiView):
    """`/api/webhooks/{webhook_id}/deliveries/{delivery_id}/send-again`."""

    @extend_schema(
        operation_id="webhooks_send_again",
        summary="Send a delivery again",
        tags=["Notices"],
        request=None,
        responses={200: DeliverySerializer, **errors_of(401, 403, 404, 409)},
    )
    def post(self, request: Request, webhook_id: UUID, delivery_id: UUID) -> Response:
        """Send it again now, with the same `webhook-id`. Needs `tenant:manage`."""
        delivery = send_again(by=self.caller(request), public_id=webhook_id, delivery_id=delivery_id)
        return Response(DeliverySerializer(delivery).data)


def _asked(request: Request) -> dict[str, Any]:
    asked = NewWebhookSerializer(data=request.data)
    asked.is_valid(raise_exception=True)
    return {"kinds": (), **asked.validated_data}


def _with_secret(webhook: Webhook, secret: str) -> dict[str, Any]:
    return {**WebhookSerializer(webhook).data, "secret": secret}
