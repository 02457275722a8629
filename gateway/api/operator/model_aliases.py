"""Names that an organisation gives to models, for those who run the platform."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.prices.aliases import aliases_of, put_alias_for, remove_alias_for
from gateway.api.model_aliases import (
    ALIAS,
    ModelAliasListSerializer,
    ModelAliasSerializer,
    WishedAliasSerializer,
    printable,
)
from gateway.api.operator.view import OperatorApiView, tenant_of
from gateway.api.problems import errors_of


class OperatedAliasesView(OperatorApiView):
    """`/api/operator/tenants/{external_id}/model-aliases`."""

    noun = "tenants"

    @extend_schema(
        operation_id="operator_tenants_aliases_list",
        summary="List an organisation's own names for models",
        tags=["Operator"],
        responses={200: ModelAliasListSerializer, **errors_of(401, 403, 404)},
    )
    def get(self, request: Request, external_id: str) -> Response:
        """List the names that mean something to this organisation only. Needs `tenants:read`."""
        return Response(ModelAliasListSerializer({"results": aliases_of(tenant_of(external_id))}).data)


class OperatedAliasView(OperatorApiView):
    """`/api/operator/tenants/{external_id}/model-aliases/{alias}`."""

    noun = "tenants"

    @extend_schema(
        operation_id="operator_tenants_aliases_put",
        summary="Give a model a name for one organisation",
        tags=["Operator"],
        parameters=[ALIAS],
        request=WishedAliasSerializer,
        responses={
            200: ModelAliasSerializer,
            201: ModelAliasSerializer,
            **errors_of(400, 401, 403, 404, 409, 413, 415),
        },
    )
    def put(self, request: Request, external_id: str, alias: str) -> Response:
        """Let this name mean the model to the organisation, from now. 409 where it is the name of a model that lives.
        The same again changes nothing. Needs `tenants:write`.
        """
        tenant = tenant_of(external_id)
        asked = WishedAliasSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        model = asked.validated_data["model"]
        made, is_new = put_alias_for(by=self.operator(request), tenant=tenant, alias=printable(alias), model=model)
        return Response(ModelAliasSerializer(made).data, status=201 if is_new else 200)

    @extend_schema(
        operation_id="operator_tenants_aliases_delete",
        summary="Take an organisation's name for a model away",
        tags=["Operator"],
        parameters=[ALIAS],
        responses={204: None, **errors_of(401, 403, 404)},
    )
    def delete(self, request: Request, external_id: str, alias: str) -> Response:
        """Let it mean nothing of its own any more. Needs `tenants:write`."""
        tenant = tenant_of(external_id)
        remove_alias_for(by=self.operator(request), tenant=tenant, alias=printable(alias))
        return Response(status=204)
