"""`make bench`: the gateway and the ledger measured beside nginx and vllm-router, in one run (bench/NOTES.md)."""
