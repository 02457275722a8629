"""Tiers, what was agreed instead of their values, and the contract that is in force."""
