"""Pools that follow the demand: what each should have, where it fits, and how to get there. Its cores are pure."""
