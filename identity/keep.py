"""What a verb that changes a few things takes for those that stay."""

from enum import Enum


class Keep(Enum):
    """Stands for "as it is" where None means "nobody"."""

    KEEP = "keep"
