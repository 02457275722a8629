"""Pictures of pages that journeys pass. git ignores them; a build machine may keep them."""

import os
from pathlib import Path

from playwright.sync_api import Page

PICTURES = Path(os.environ.get("BEFFROI_PICTURES") or Path(__file__).resolve().parents[2] / "artefacts")


def keep_picture(page: Page, name: str) -> None:
    """The whole page as it is now, as `name`.png."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
