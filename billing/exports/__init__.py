"""Files of what the ledger has, made by the worker, a part at a time."""
