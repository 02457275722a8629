"""What was used, from the sums that the ledger keeps with each charge. Reads only."""
