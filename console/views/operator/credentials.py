"""Keys and certificates: what is in use, what still needs an old one, and what ends when."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from console.credentials import certificates, database_tls, operator_keys, platform_providers, rings
from console.pages import operator_page
from identity.models import Person
from identity.permissions import OperatorPermission


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def credentials(request: HttpRequest, operator: Person) -> HttpResponse:
    """Numbers, names and days; no secret."""
    now = timezone.now()
    shown = {
        "certificates": certificates(now),
        "rings": rings(now),
        "operator_keys": operator_keys(now),
        "providers": platform_providers(),
        "database_tls": database_tls(),
    }
    return render(request, "console/operator/settings/credentials.html", shown)
