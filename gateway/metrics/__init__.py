"""What Prometheus reads at `/metrics`: the counts of all gateway processes of this machine, and what the database tells
of the ledger, the pools and the house.
"""
