"""Addresses of notices."""

from django.urls import URLPattern, path

from console.views.notices import bell, notice, notices, read_all

urlpatterns: list[URLPattern] = [
    path("notices", notices, name="notices"),
    path("notices/bell", bell, name="notices-bell"),
    path("notices/read", read_all, name="notices-read"),
    path("notices/<int:notice_id>", notice, name="notice"),
]
