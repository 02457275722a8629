"""Addresses of requests."""

from django.urls import URLPattern, path

from console.views.requests import request_detail, requests, requests_new

urlpatterns: list[URLPattern] = [
    path("t/<slug:slug>/requests", requests, name="requests"),
    path("t/<slug:slug>/requests/new", requests_new, name="requests-new"),
    path("t/<slug:slug>/requests/<uuid:request_id>", request_detail, name="request"),
]
