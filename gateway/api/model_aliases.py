"""Names that the organisation gives to models."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.prices.aliases import aliases_of, put_alias, remove_alias
from gateway.api.problems import errors_of
from gateway.api.queries import StrictSerializer, TextField
from gateway.api.view import ApiView
from identity.errors import NotFound
from identity.permissions import Permission

ALIAS = OpenApiParameter("alias", str, "path", description="What clients send as `model`: it may hold `:` and `/`.")


class ModelAliasSerializer(serializers.Serializer[Any]):
    """A name of the organisation's own for a model."""

    alias = serializers.CharField(help_text="What clients send as `model`.")
    model = serializers.CharField(source="model.name", help_text="The model that answers and is paid.")


class ModelAliasListSerializer(serializers.Serializer[Any]):
    """All of them, by name."""

    results = ModelAliasSerializer(many=True)


class WishedAliasSerializer(StrictSerializer):
    """What an alias is to mean."""

    model = TextField(max_length=200, help_text="The id of a model that the organisation sees.")


class ModelAliasesView(ApiView):
    """`/api/model-aliases`."""

    @extend_schema(
        operation_id="model_aliases_list",
        summary="List the organisation's own names for models",
        tags=["Models"],
        responses={200: ModelAliasListSerializer, **errors_of(401)},
    )
    def get(self, request: Request) -> Response:
        """List the names that mean something to this organisation only. Every key may."""
        caller = self.caller(request)
        caller.require(Permission.MODEL_READ)
        return Response(ModelAliasListSerializer({"results": aliases_of(caller.tenant)}).data)


class ModelAliasView(ApiView):
    """`/api/model-aliases/{alias}`."""

    @extend_schema(
        operation_id="model_aliases_put",
        summary="Give a model a name of one's own",
        tags=["Models"],
        parameters=[ALIAS],
        request=WishedAliasSerializer,
        responses={
            200: ModelAliasSerializer,
            201: ModelAliasSerializer,
            **errors_of(400, 401, 403, 404, 409, 413, 415),
        },
    )
    def put(self, request: Request, alias: str) -> Response:
        """Let this name mean the model, from now. 409 where it is the name of a model that lives. The same again
        changes nothing. Needs `tenant:manage`.
        """
        caller = self.caller(request)
        asked = WishedAliasSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made, is_new = put_alias(by=caller, alias=printable(alias), model=asked.validated_data["model"])
        return Response(ModelAliasSerializer(made).data, status=201 if is_new else 200)

    @extend_schema(
        operation_id="model_aliases_delete",
        summary="Take a name of one's own away",
        tags=["Models"],
        parameters=[ALIAS],
        responses={204: None, **errors_of(401, 403, 404)},
    )
    def delete(self, request: Request, alias: str) -> Response:
        """Let it mean nothing of its own any more. Needs `tenant:manage`."""
        remove_alias(by=self.caller(request), alias=printable(alias))
        return Response(status=204)


def printable(alias: str) -> str:
    """The alias of an address; raises `NotFound` for what is no name of anything."""
    if not alias.isprintable():
        raise NotFound("alias")
    return alias
