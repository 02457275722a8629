"""Addresses of usage and of what is exported of it."""

from django.urls import URLPattern, path

from console.views.advice import usage_advice
from console.views.exports import (
    export_download,
    export_new,
    export_remove,
    export_schedule,
    export_schedule_end,
    exports,
)
from console.views.usage import usage, usage_export

_EXPORTS = "t/<slug:slug>/usage/exports"

urlpatterns: list[URLPattern] = [
    path("t/<slug:slug>/usage", usage, name="usage"),
    path("t/<slug:slug>/usage/advice", usage_advice, name="usage-advice"),
    path("t/<slug:slug>/usage.csv", usage_export, name="usage-export"),
    path(_EXPORTS, exports, name="exports"),
    path(f"{_EXPORTS}/new", export_new, name="export-new"),
    path(f"{_EXPORTS}/monthly", export_schedule, name="export-schedule"),
    path(f"{_EXPORTS}/monthly/<int:schedule_id>/end", export_schedule_end, name="export-schedule-end"),
    path(f"{_EXPORTS}/<uuid:public_id>/file", export_download, name="export-file"),
    path(f"{_EXPORTS}/<uuid:public_id>/remove", export_remove, name="export-remove"),
]
