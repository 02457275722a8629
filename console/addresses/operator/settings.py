"""Addresses of the operator's settings."""

from django.urls import URLPattern, path

from console.views.operator.connections import connections
from console.views.operator.credentials import credentials
from console.views.operator.identity import identity
from console.views.operator.jobs import job_run, jobs
from console.views.operator.log_exports import log_export, log_export_remove, log_export_try, log_exports
from console.views.operator.mail import mail
from console.views.operator.retention import retention, retention_change
from console.views.operator.service import service_change, service_logo, service_logo_remove, service_page
from console.views.operator.set_up import set_up, set_up_try

urlpatterns: list[URLPattern] = [
    path("settings/set-up", set_up, name="operator-set-up"),
    path("settings/set-up/<slug:line>/try", set_up_try, name="operator-set-up-try"),
    path("settings/service", service_page, name="operator-service"),
    path("settings/service/change/<slug:part>", service_change, name="operator-service-change"),
    path("settings/service/logo", service_logo, name="operator-service-logo"),
    path("settings/service/logo/remove", service_logo_remove, name="operator-service-logo-remove"),
    path("settings/credentials", credentials, name="operator-credentials"),
    path("settings/connections", connections, name="operator-connections"),
    path("settings/identity", identity, name="operator-identity"),
    path("settings/mail", mail, name="operator-mail"),
    path("settings/retention", retention, name="operator-retention"),
    path("settings/retention/change", retention_change, name="operator-retention-change"),
    path("settings/export", log_exports, name="operator-exports"),
    path("settings/export/<int:export_id>", log_export, name="operator-export"),
    path("settings/export/<int:export_id>/try", log_export_try, name="operator-export-try"),
    path("settings/export/<int:export_id>/remove", log_export_remove, name="operator-export-remove"),
    path("settings/jobs", jobs, name="operator-jobs"),
    path("settings/jobs/<str:job>/run", job_run, name="operator-job-run"),
]
