"""Budgets and limits of tenants, projects and keys, and where they stand."""
