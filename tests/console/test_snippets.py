"""Code to paste: it says what to install, and a newcomer can run it as it is."""

import pytest

from console.snippets import Snippet, snippets_for

BASE = "http://gateway.example"


def of_kind(kind: str) -> dict[str, Snippet]:
    return {one.id: one for one in snippets_for(kind, BASE, "a-model")}


@pytest.mark.parametrize("kind", ["chat", "embedding"])
def test_each_begins_with_what_has_to_be_installed(kind: str) -> None:
    found = of_kind(kind)
    assert found["python"].text.startswith("# pip install openai\n")
    assert found["langchain"].text.startswith("# pip install langchain-openai\n")
    assert found["node"].text.startswith("// npm install openai; save this as hello.mjs\n")


@pytest.mark.parametrize("kind", ["chat", "embedding"])
def test_what_is_python_is_valid_python(kind: str) -> None:
    for name in ("python", "langchain"):
        compile(of_kind(kind)[name].text, name, "exec")
