"""Addresses of account."""

from django.urls import URLPattern, path

from console.views.account import (
    account,
    ask_erasure,
    data,
    data_export,
    end_one_session,
    end_other_sessions,
    notice_choices,
    sessions,
)

urlpatterns: list[URLPattern] = [
    path("account", account, name="account"),
    path("account/sessions", sessions, name="account-sessions"),
    path("account/sessions/end", end_other_sessions, name="account-sessions-end"),
    path("account/sessions/<int:session_id>/end", end_one_session, name="account-session-end"),
    path("account/notices", notice_choices, name="account-notices"),
    path("account/data", data, name="account-data"),
    path("account/data/export", data_export, name="account-data-export"),
    path("account/data/erasure", ask_erasure, name="account-erasure"),
]
