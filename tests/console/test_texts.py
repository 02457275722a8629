"""Every text that people read exists in French and Spanish, with the same placeholders."""

from pathlib import Path

import pytest
from babel.messages.catalog import Catalog

from console import texts


@pytest.fixture(scope="module")
def in_code() -> Catalog:
    return texts.texts_in_code()


def test_texts_are_found_in_templates_and_in_code(in_code: Catalog) -> None:
    assert "Skip to the content" in in_code
    assert "expires soon" in in_code
    assert "Error %(status)s" not in in_code


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_no_text_is_left_in_english(language: str) -> None:
    assert texts.untranslated(language) == []


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_a_translation_names_what_the_english_text_names(language: str) -> None:
    assert texts.odd_placeholders(language) == []


def test_a_text_without_translation_and_one_with_a_wrong_placeholder_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "LOCALE", tmp_path)
    texts.update("fr")
    assert "Skip to the content" in texts.untranslated("fr")
    path = tmp_path / "fr/LC_MESSAGES/django.po"
    empty = 'msgid "Skip to the content"\nmsgstr '
    path.write_text(path.read_text().replace(f'{empty}""', f'{empty}"À %(x)s"'))
    assert "Skip to the content" not in texts.untranslated("fr")
    assert texts.odd_placeholders("fr") == ["Skip to the content"]
