"""The first page: who is signed in, which models run, how to call one."""

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from gateway.pools.models import Replica
from identity.models import Membership, Person
from models_catalog.models import LanguageModel

_READY = Replica.objects.filter(pool__model=OuterRef("pk"), state=Replica.State.READY)


@require_GET
def welcome(request: HttpRequest) -> HttpResponse:
    """Says how to sign in to who is not."""
    if not isinstance(request.user, Person):
        return render(request, "welcome_stranger.html")
    models = LanguageModel.objects.filter(Exists(_READY)).annotate(
        is_simulated=Exists(_READY.filter(is_simulated=True))
    )
    served = list(models.order_by("kind", "name"))
    context = {
        "memberships": Membership.objects.filter(person=request.user).select_related("tenant").order_by("tenant__name"),
        "models": served,
        "example": next((model.name for model in served if model.kind == LanguageModel.Kind.CHAT), ""),
        "base_url": settings.PUBLIC_URL,
    }
    return render(request, "welcome.html", context)
