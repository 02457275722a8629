"""A past that never was, for demonstrations."""
