"""Projects: those that the key may know of; with `projects:manage` they are made, changed and archived."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.usage.by_project import KEYS_COUNTED_MAX, ProjectFigures, figures_of_projects
from gateway.api.problems import errors_of
from gateway.api.queries import PageQuery, StrictSerializer, next_address, parameters
from gateway.api.view import ApiView
from identity import access
from identity.access import Caller
from identity.errors import Invalid
from identity.keep import Keep
from identity.key_policy import MODELS_MAX
from identity.models import Person, Project
from identity.permissions import Permission
from identity.projects import COST_CENTRE_LENGTH_MAX, archive_project, change_project, create_project


class FullProjectSerializer(serializers.Serializer[Any]):
    """A project and where its money stands. Amounts are whole numbers of nano-EUR. Needs `figures` in its context."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    cost_centre = serializers.CharField()
    purchase_order = serializers.CharField(help_text="Its lines of an invoice name it.")
    status = serializers.CharField(help_text="`active` or `archived`.")
    responsible = serializers.SerializerMethodField(help_text="The pseudonym of who answers for it; null: nobody.")
    allowed_models = serializers.ListField(
        child=serializers.CharField(),
        help_text="Ids of the only models that its keys may call, whatever these list; empty: all.",
    )
    created_at = serializers.DateTimeField()
    spent_nano_eur = serializers.SerializerMethodField(help_text="Charged this month.")
    projected_nano_eur = serializers.SerializerMethodField(
        help_text="What the month comes to if it goes on like the last seven days."
    )
    live_keys = serializers.SerializerMethodField(
        help_text=f"Keys that are not revoked, counted up to {KEYS_COUNTED_MAX + 1}."
    )

    @extend_schema_field({"type": "string", "format": "uuid", "nullable": True})
    def get_responsible(self, project: Project) -> str | None:
        """A pseudonym: it stays when the person is erased."""
        return str(project.responsible.pseudonym) if project.responsible else None

    def get_spent_nano_eur(self, project: Project) -> int:
        """This month's."""
        return self._figures(project).spent_nano_eur

    def get_projected_nano_eur(self, project: Project) -> int:
        """At the end of this month."""
        return self._figures(project).projected_nano_eur

    def get_live_keys(self, project: Project) -> int:
        """Bounded."""
        return self._figures(project).keys

    def _figures(self, project: Project) -> ProjectFigures:
        figures: ProjectFigures = self.context["figures"][project.pk]
        return figures


class ProjectPageSerializer(serializers.Serializer[Any]):
    """Projects, by id."""

    results = FullProjectSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class ChangedProjectSerializer(StrictSerializer):
    """What is to be different of a project. What is left out stays."""

    name = serializers.CharField(max_length=200, required=False)
    cost_centre = serializers.CharField(max_length=COST_CENTRE_LENGTH_MAX, required=False, allow_blank=True)
    purchase_order = serializers.CharField(max_length=COST_CENTRE_LENGTH_MAX, required=False, allow_blank=True)
    responsible = serializers.UUIDField(
        required=False, allow_null=True, help_text="The pseudonym of a member; null: nobody."
    )
    allowed_models = serializers.ListField(
        child=serializers.CharField(max_length=200),
        required=False,
        max_length=MODELS_MAX,
        help_text="Ids of the only models that its keys may call, whatever these list; empty: all. It takes effect "
        "within a second.",
    )


class NewProjectSerializer(ChangedProjectSerializer):
    """A project to be created."""

    name = serializers.CharField(max_length=200)


class ProjectsView(ApiView):
    """`/api/projects`."""

    @extend_schema(
        operation_id="projects_list",
        summary="List projects with what they spent",
        tags=["Projects"],
        parameters=[PageQuery],
        responses={200: ProjectPageSerializer, **errors_of(400, 401)},
    )
    def get(self, request: Request) -> Response:
        """List this key's project; with `projects:manage` or `usage:read:tenant` all of the organisation."""
        given, caller = parameters(PageQuery, request), _within(self.caller(request))
        found = access.projects_for(caller).select_related("responsible").filter(pk__gt=given.get("cursor", 0))
        rows = list(found.order_by("pk")[: given["limit"] + 1])
        page = rows[: given["limit"]]
        cursor = page[-1].pk if len(rows) > len(page) else None
        figures = figures_of_projects(caller.tenant, [project.pk for project in page], now=timezone.now())
        results = FullProjectSerializer(page, many=True, context={"figures": figures}).data
        return Response({"results": results, "next": next_address(request, cursor)})

    @extend_schema(
        operation_id="projects_create",
        summary="Create a project",
        tags=["Projects"],
        request=NewProjectSerializer,
        responses={201: FullProjectSerializer, **errors_of(400, 401, 403, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Create a project of the organisation. Needs `projects:manage`."""
        caller = self.caller(request)
        caller.require(Permission.PROJECT_CREATE)
        asked = _asked(NewProjectSerializer, request)
        project = create_project(
            caller.tenant,
            asked["name"],
            actor=caller.actor,
            cost_centre=asked.get("cost_centre", ""),
            purchase_order=asked.get("purchase_order", ""),
            responsible=_member(caller, asked.get("responsible")),
            allowed_models=asked.get("allowed_models", ()),
        )
        return Response(_shown(project), status=201, headers={"Location": f"/api/projects/{project.pk}"})


class ProjectView(ApiView):
    """`/api/projects/{project_id}`."""

    @extend_schema(
        operation_id="projects_read",
        summary="Read one project",
        tags=["Projects"],
        responses={200: FullProjectSerializer, **errors_of(401, 404)},
    )
    def get(self, request: Request, project_id: int) -> Response:
        """Read one project."""
        return Response(_shown(access.project_for(_within(self.caller(request)), project_id)))

    @extend_schema(
        operation_id="projects_change",
        summary="Change a project",
        tags=["Projects"],
        request=ChangedProjectSerializer,
        responses={200: FullProjectSerializer, **errors_of(400, 401, 403, 404, 409, 413, 415)},
    )
    def patch(self, request: Request, project_id: int) -> Response:
        """Change name, cost centre, purchase order, responsible person or the models that its keys may call. Needs
        `projects:manage`.
        """
        caller = _within(self.caller(request))
        project = access.project_for(caller, project_id, Permission.PROJECT_UPDATE)
        asked = _asked(ChangedProjectSerializer, request)
        responsible: Person | Keep | None = Keep.KEEP
        if "responsible" in asked:
            responsible = _member(caller, asked["responsible"])
        change_project(
            project,
            name=asked.get("name"),
            cost_centre=asked.get("cost_centre"),
            purchase_order=asked.get("purchase_order"),
            responsible=responsible,
            allowed_models=asked.get("allowed_models"),
            actor=caller.actor,
        )
        return Response(_shown(project))


class ArchiveProjectView(ApiView):
    """`/api/projects/{project_id}/archive`."""

    @extend_schema(
        operation_id="projects_archive",
        summary="Archive a project",
        tags=["Projects"],
        request=None,
        responses={200: FullProjectSerializer, **errors_of(401, 403, 404)},
    )
    def post(self, request: Request, project_id: int) -> Response:
        """Close a project: its keys are refused from now on. Needs `projects:manage`. Once more changes nothing."""
        caller = _within(self.caller(request))
        project = access.project_for(caller, project_id, Permission.PROJECT_ARCHIVE)
        archive_project(project, actor=caller.actor)
        return Response(_shown(project))


def _within(caller: Caller) -> Caller:
    """The scopes are about the whole organisation, while a key else is confined to its project."""
    is_wide = caller.may(Permission.PROJECT_CREATE) or caller.may(Permission.USAGE_READ_TENANT)
    return replace(caller, project_ids=None) if is_wide else caller


def _asked(serializer: type[StrictSerializer], request: Request) -> dict[str, Any]:
    asked = serializer(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def _member(caller: Caller, pseudonym: UUID | None) -> Person | None:
    if pseudonym is None:
        return None
    found = Person.objects.filter(pseudonym=pseudonym, memberships__tenant=caller.tenant).first()
    if found is None:
        raise Invalid("responsible", "must be a member of the organisation")
    return found


def _shown(project: Project) -> dict[str, Any]:
    figures = figures_of_projects(project.tenant, [project.pk], now=timezone.now())
    return dict(FullProjectSerializer(project, context={"figures": figures}).data)
