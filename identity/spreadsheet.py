"""Cells of exported CSV files: a spreadsheet that opens one must take none of them for a formula."""

# A cell that begins so is one (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe_cell(cell: str) -> str:
    """A leading apostrophe makes a spreadsheet take it for text."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
