"""Why an engine takes no requests, in the reader's language."""

import ast
import re
import signal
from pathlib import Path

import pytest
from django.utils import translation

from gateway.node_agent import faults
from gateway.pools import reasons
from gateway.pools.fleet import agent_reasons
from gateway.pools.fleet import reasons as fleet_reasons
from gateway.pools.probes import NotReady

SENTENCES = [
    text
    for module in (reasons, fleet_reasons, agent_reasons)
    for name, text in vars(module).items()
    if name.isupper() and isinstance(text, str)
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_what_was_kept_in_english_is_read_in_french(sentence: str) -> None:
    values = {name: f"<{name}: 100 % of it>" for name in re.findall(r"%\((\w+)\)s", sentence)}
    kept = NotReady(sentence, may_pass=False, **values).reason
    with translation.override("fr"):
        read = reasons.in_readers_language(kept)
    assert read != kept
    assert all(value in read for value in values.values())
    with translation.override("en"):
        assert reasons.in_readers_language(kept) == kept


def test_a_fault_inside_a_reason_is_read_in_french_too() -> None:
    with translation.override("fr"):
        read = reasons.in_readers_language("It does not answer: the connection broke: ConnectionRefusedError.")
    assert read == "Il ne répond pas\xa0: la connexion s'est rompue\xa0: ConnectionRefusedError."


def said_by_agents() -> set[str]:
    """Every text of a fault in the agent's code, with `x` for what it fills in."""
    found = {fault.words for _pattern, fault in faults._COMPLAINTS}
    for file in sorted(Path(faults.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Fault", "WeightsFault", "say"):
                given = [*node.args[1:2], *(one.value for one in node.keywords if one.arg == "words")]
                found.update(text for text in map(filled, given) if text)
    return found


def filled(text: ast.expr) -> str:
    if isinstance(text, ast.Constant):
        return str(text.value)
    if not isinstance(text, ast.JoinedStr):
        return ""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in text.values)


@pytest.mark.parametrize("said", sorted(said_by_agents()))
def test_what_an_agent_says_is_read_in_french_with_what_the_engine_said_behind_it(said: str) -> None:
    with translation.override("fr"):
        assert reasons.in_readers_language(said) != said
        assert reasons.in_readers_language(f"{said} RuntimeError: 7 GiB").endswith(" RuntimeError: 7 GiB")


@pytest.mark.parametrize("exit_code", [None, 0, 1, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGSEGV])
def test_how_an_engine_ended_is_read_in_french(exit_code: int | None) -> None:
    said = faults.explain(exit_code, "", has_served=True).words
    with translation.override("fr"):
        assert reasons.in_readers_language(said) != said


def test_a_text_of_somebody_else_stays_as_it_is() -> None:
    with translation.override("fr"):
        assert reasons.in_readers_language("GPU 3 glows.") == "GPU 3 glows."
        assert reasons.in_readers_language("") == ""
