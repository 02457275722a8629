"""What every page has in common: who asks is known before the view runs, in their language and their tenant's time.

    @tenant_page(Permission.KEY_READ)
    def keys(request: HttpRequest, caller: Caller) -> HttpResponse: ...

    @operator_page(OperatorPermission.PLATFORM_READ)
    def overview(request: HttpRequest, operator: Person) -> HttpResponse: ...

Nobody signed in: to the sign-in page and back. A stranger to the tenant gets the same 404 as for a tenant that is not
there, a role that is too weak 403. What identity's verbs refuse and a view does not catch becomes a page as well.
"""

from collections.abc import Callable
from functools import wraps
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Exists
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.utils import timezone, translation
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from django.utils.http import urlencode

from billing.invoices.payers import payers_for
from console.operator_site import is_operators
from identity import access
from identity.access import Caller
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.models import Person, Tenant
from identity.operators import permissions_for_operator
from identity.permissions import OperatorPermission, Permission
from identity.service import service

View = Callable[..., HttpResponseBase]

# The organisation that was looked at last. A cookie, not the session: looking at a page writes nothing.
LAST_TENANT = "last_tenant"
# More organisations than these are found by searching.
TENANTS_SHOWN = 8


def tenant_page(permission: Permission) -> Callable[[View], View]:
    """A page of the tenant that its address names; the view gets the caller, who has the permission."""

    def decorate(view: View) -> View:
        @wraps(view)
        def page(request: HttpRequest, slug: str, **values: object) -> HttpResponseBase:
            if not isinstance(request.user, Person):
                return to_sign_in(request)
            caller = access.caller_for_person(request.user, slug)
            request.caller = caller  # type: ignore[attr-defined]
            caller.require(permission)
            with timezone.override(ZoneInfo(request.user.time_zone or caller.tenant.time_zone)):
                return view(request, caller, **values)

        guarded = _in_their_language(_with_refusals_as_pages(page))
        guarded.permission = permission  # type: ignore[attr-defined]
        return guarded

    return decorate


def operator_page(permission: OperatorPermission) -> Callable[[View], View]:
    """A page of the operator's console; the view gets who runs the platform and has the permission."""

    def decorate(view: View) -> View:
        @wraps(view)
        def page(request: HttpRequest, **values: object) -> HttpResponseBase:
            if not isinstance(request.user, Person):
                return to_sign_in(request)
            permissions = permissions_of(request)
            if not permissions:
                raise NotFound("page")
            if permission not in permissions:
                raise Forbidden(permission.value)
            with timezone.override(ZoneInfo(request.user.time_zone) if request.user.time_zone else None):
                return view(request, request.user, **values)

        guarded = _in_their_language(_with_refusals_as_pages(page))
        guarded.operator_permission = permission  # type: ignore[attr-defined]
        return guarded

    return decorate


def person_page(view: View) -> View:
    """A page about whoever is signed in, outside of any tenant; the view gets the person."""

    @wraps(view)
    def page(request: HttpRequest, **values: object) -> HttpResponseBase:
        if not isinstance(request.user, Person):
            return to_sign_in(request)
        if not is_partial(request) and not is_operators(request):
            request.frame_caller = _last_caller(request, request.user)  # type: ignore[attr-defined]
        with timezone.override(ZoneInfo(request.user.time_zone) if request.user.time_zone else None):
            return view(request, request.user, **values)

    guarded = _in_their_language(_with_refusals_as_pages(page))
    guarded.is_of_person = True  # type: ignore[attr-defined]
    return guarded


def caller_of(request: HttpRequest) -> Caller | None:
    """Who asks, on a page of a tenant."""
    return getattr(request, "caller", None)


def frame_caller_of(request: HttpRequest) -> Caller | None:
    """Whose navigation the page shows: outside of a tenant, that of the one looked at last."""
    return caller_of(request) or getattr(request, "frame_caller", None)


def permissions_of(request: HttpRequest) -> frozenset[OperatorPermission]:
    """What who is signed in to the operator's console may do there; read once a request."""
    if not is_operators(request) or not isinstance(request.user, Person):
        return frozenset()
    if not hasattr(request, "operator_permissions"):
        request.operator_permissions = permissions_for_operator(request.user)  # type: ignore[attr-defined]
    permissions: frozenset[OperatorPermission] = request.operator_permissions  # type: ignore[attr-defined]
    return permissions


def is_partial(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of the page; going back in history asks for all of it."""
    return "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """To the sign-in page, and from there back here."""
    here = request.get_full_path()
    if is_partial(request):
        shown = urlsplit(request.headers.get("HX-Current-URL", ""))
        here = shown.path + (f"?{shown.query}" if shown.query else "")
        return HttpResponse(status=204, headers={"HX-Redirect": _sign_in_address(here)})
    return redirect(_sign_in_address(here if request.method == "GET" else resolve_url("front")))


def some_tenants_of(request: HttpRequest) -> list[Tenant]:
    """The first organisations of who is signed in, by name, one more than a menu shows; read once a request."""
    if not isinstance(request.user, Person):
        return []
    if not hasattr(request, "some_tenants"):
        # Whether the person pays for others comes with them, for the frame: not a query of its own on every page.
        found = access.tenants_of(request.user).annotate(pays=Exists(payers_for(request.user).order_by()))
        request.some_tenants = list(found[: TENANTS_SHOWN + 1])  # type: ignore[attr-defined]
    tenants: list[Tenant] = request.some_tenants  # type: ignore[attr-defined]
    return tenants


def pays_for_others(request: HttpRequest) -> bool:
    """Whether who is signed in is of a payer's people, and so has invoices to look at outside of any organisation."""
    if not isinstance(request.user, Person) or is_operators(request):
        return False
    tenants = some_tenants_of(request)
    return bool(getattr(tenants[0], "pays")) if tenants else payers_for(request.user).exists()  # noqa: B009  # annotated


def _last_caller(request: HttpRequest, person: Person) -> Caller | None:
    slug = request.COOKIES.get(LAST_TENANT) or next((tenant.slug for tenant in some_tenants_of(request)), "")
    try:
        return access.caller_for_person(person, slug) if slug else None
    except NotFound:
        return None


def _sign_in_address(after: str) -> str:
    return f"{resolve_url('sign-in')}?{urlencode({'next': after})}"


def _in_their_language(view: View) -> View:
    @wraps(view)
    def page(request: HttpRequest, *args: object, **values: object) -> HttpResponseBase:
        if isinstance(request.user, Person):
            translation.activate(service().language_for(request.user.language))
            request.LANGUAGE_CODE = translation.get_language() or "en"
        response = view(request, *args, **values)
        # A page shows what is somebody's own: no cache keeps it, and after a sign-out "back" shows nothing.
        add_never_cache_headers(response)
        patch_vary_headers(response, ["HX-Request"])
        return response

    return page


def _with_refusals_as_pages(view: View) -> View:
    @wraps(view)
    def page(request: HttpRequest, *args: object, **values: object) -> HttpResponseBase:
        try:
            return view(request, *args, **values)
        except NotFound as error:
            raise Http404 from error
        except Forbidden as error:
            raise PermissionDenied from error
        except (Invalid, Conflict) as error:
            raise BadRequest from error

    return page
