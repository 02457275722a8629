"""Addresses of "Who does what"."""

from django.urls import URLPattern, path

from console.views.who_does_what import tell, who_does_what

urlpatterns: list[URLPattern] = [
    path("who-does-what", who_does_what, name="who-does-what"),
    path("t/<slug:slug>/tell-the-operator", tell, name="tell-operator"),
]
