"""Addresses of models. A model's id may hold `/`: what follows it comes first here."""

from django.urls import URLPattern, path

from console.views.estimator import estimator
from console.views.models import model, models
from console.views.try_it import bill, try_it

urlpatterns: list[URLPattern] = [
    path("t/<slug:slug>/estimate", estimator, name="estimator"),
    path("t/<slug:slug>/models", models, name="models"),
    path("t/<slug:slug>/models/<path:model>/try", try_it, name="model-try"),
    path("t/<slug:slug>/models/<path:model>/try/<uuid:request_id>", bill, name="model-bill"),
    path("t/<slug:slug>/models/<path:model>", model, name="model"),
]
