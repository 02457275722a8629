"""The management API under /api/: keys, usage, budgets, limits and models, with errors as RFC 9457 problems."""
