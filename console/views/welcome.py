"""The first page: who is signed in, which models run, how to call one."""

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console.pages import person_page
from gateway.pools.models import Replica
from gateway.pools.serving import is_served
from identity.access import memberships_of
from identity.models import Person
from identity.name_order import by_name
from models_catalog.models import LanguageModel

_SIMULATED = Replica.objects.filter(pool__model=OuterRef("pk"), state=Replica.State.READY, is_simulated=True)


@require_GET
@person_page
def welcome(request: HttpRequest, person: Person) -> HttpResponse:
    """For whom no organisation's pages are: the operators of a new installation, and people without membership."""
    models = LanguageModel.objects.filter(is_served()).annotate(is_simulated=Exists(_SIMULATED))
    if not person.is_operator:
        models = models.filter(visibility=LanguageModel.Visibility.EVERYBODY)
    served = list(models.order_by("kind", "name"))
    context = {
        "memberships": memberships_of(person).select_related("tenant").order_by(by_name("tenant__name")),
        "models": served,
        "example": next((model.name for model in served if model.kind == LanguageModel.Kind.CHAT), ""),
        "base_url": settings.PUBLIC_URL,
    }
    return render(request, "welcome.html", context)
