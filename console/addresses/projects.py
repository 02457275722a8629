"""Addresses of projects, their budgets and limits."""

from django.urls import URLPattern, path

from console.views.budgets import budget, end_budget, end_limit, limit
from console.views.projects import archive, edit_project, new_project, project, project_models, projects

_ONE = "t/<slug:slug>/projects/<int:project_id>"

urlpatterns: list[URLPattern] = [
    path("t/<slug:slug>/projects", projects, name="projects"),
    path("t/<slug:slug>/projects/new", new_project, name="project-new"),
    path(_ONE, project, name="project"),
    path(f"{_ONE}/edit", edit_project, name="project-edit"),
    path(f"{_ONE}/models", project_models, name="project-models"),
    path(f"{_ONE}/archive", archive, name="project-archive"),
    path(f"{_ONE}/budget", budget, name="project-budget"),
    path(f"{_ONE}/budgets/<int:budget_id>/end", end_budget, name="project-budget-end"),
    path(f"{_ONE}/limit", limit, name="project-limit"),
    path(f"{_ONE}/limits/<int:limit_id>/end", end_limit, name="project-limit-end"),
]
