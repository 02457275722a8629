"""The settings of the organisation that a key belongs to."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.keys import TenantSerializer
from gateway.api.problems import errors_of
from gateway.api.queries import StrictSerializer
from gateway.api.view import ApiView
from identity.permissions import Permission
from identity.tenants import change_tenant


class ChangedTenantSerializer(StrictSerializer):
    """What to change; what is left out stays."""

    name = serializers.CharField(required=False, max_length=200)
    time_zone = serializers.CharField(
        required=False,
        max_length=64,
        help_text="Such as `Europe/Paris`. A budget period that runs ends as it was cut; the next one follows it and "
        "ends by the new time zone.",
    )


class OrganisationView(ApiView):
    """`/api/organisation`."""

    @extend_schema(
        operation_id="organisation_read",
        summary="Read the organisation's settings",
        tags=["Organisation"],
        responses={200: TenantSerializer, **errors_of(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Read name and time zone of the key's organisation. Every key may."""
        caller = self.caller(request)
        caller.require(Permission.TENANT_READ)
        return Response(TenantSerializer(caller.tenant).data)

    @extend_schema(
        operation_id="organisation_change",
        summary="Change the organisation's settings",
        tags=["Organisation"],
        request=ChangedTenantSerializer,
        responses={200: TenantSerializer, **errors_of(400, 401, 403, 413, 415)},
    )
    def patch(self, request: Request) -> Response:
        """Change name or time zone. Needs `tenant:manage`."""
        caller = self.caller(request)
        caller.require(Permission.TENANT_UPDATE)
        asked = ChangedTenantSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values: dict[str, Any] = {"name": caller.tenant.name, "time_zone": caller.tenant.time_zone}
        change_tenant(by=caller, **(values | asked.validated_data))
        return Response(TenantSerializer(caller.tenant).data)
