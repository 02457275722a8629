"""The ledger added up again, apart from the code that writes it, and closed months sealed."""
