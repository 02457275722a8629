"""Organisations as operators make, change and find them."""
