"""Addresses of the people who run the platform."""

from django.urls import URLPattern, path

from console.views.operator.people import dismiss, people, support_stop

urlpatterns: list[URLPattern] = [
    path("people", people, name="operator-people"),
    path("people/<uuid:pseudonym>/<slug:role>/dismiss", dismiss, name="operator-dismiss"),
    path("people/sessions/<int:support_id>/end", support_stop, name="operator-support-stop"),
]
