"""What the templates keep to that no page shows in every state."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_no_table_is_a_landmark_of_the_name_that_its_section_has(template: Path) -> None:
    """Else a screen reader lists it twice; where there are no rows axe cannot see it."""
    text = template.read_text(encoding="utf-8")
    sections = re.findall(r'<section[^>]*aria-labelledby="([^"]+)"', text)
    regions = re.findall(r'role="region" aria-labelledby="([^"]+)"', text)
    assert not set(sections) & set(regions)
