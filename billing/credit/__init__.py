"""Money that tenants paid in advance, from which their requests are paid."""
