"""One description of all APIs (OpenAPI 3): /api and /api/operator from their views, /v1 from `inference.yaml`, which is
written by hand.

The page that shows it needs nothing from elsewhere and no inline script: the content security policy stays as it is.
"""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.views.generic import TemplateView
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.view import ApiView

INFERENCE = Path(__file__).parent / "inference.yaml"
INTRODUCTION = Path(__file__).parent / "introduction.md"


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How `ApiKeyAuthentication` is described."""

    target_class = "gateway.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """A bearer key."""
        return {"type": "http", "scheme": "bearer", "description": "An API key: `bfr_...`"}


class SchemaView(ApiView):
    """`/api/schema`: JSON, or YAML for who asks with `Accept` or `?format=yaml`. Open to everybody."""

    authentication_classes = []
    permission_classes = []
    schema = None

    def get(self, request: Request) -> HttpResponseBase:
        """The description."""
        if request.query_params.get("format") == "yaml" or "yaml" in request.headers.get("Accept", ""):
            text = yaml.safe_dump(document(), allow_unicode=True, sort_keys=False)
            return HttpResponse(text, content_type="application/yaml")
        return Response(document())


class DocumentationView(TemplateView):
    """`/api/docs`: the description as a page."""

    template_name = "api/docs.html"


@cache
def document() -> dict[str, Any]:
    """The whole description; the same for as long as the process lives."""
    described: dict[str, Any] = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    inference = yaml.safe_load(_read(INFERENCE))
    components = described["components"]
    for kind, members in inference["components"].items():
        taken = components.setdefault(kind, {})
        if twice := taken.keys() & members.keys():
            raise ValueError(f"described twice: {', '.join(sorted(twice))}")
        taken.update(members)
    for methods in inference["paths"].values():
        for operation in methods.values():
            operation["security"] = [{ApiKeyScheme.name: []}]
    described["info"]["description"] = _read(INTRODUCTION)
    described["servers"] = [{"url": "/"}]  # wherever the description was read
    described["tags"] = inference["tags"]
    described["paths"] = inference["paths"] | described["paths"]
    return described


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8").replace("{base_url}", settings.PUBLIC_URL)
