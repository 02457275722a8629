"""A tenant's month: from its preview through what blocks it to what is issued."""
