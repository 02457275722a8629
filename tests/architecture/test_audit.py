"""Every verb that writes tells the audit chain, and every action has its wording."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from console.audit_wording import NOUNS, WORDING
from tests.architecture.sources import name_of, python_files

ACTION = re.compile(r"[a-z_]+\.[a-z_]+")


def recorded_actions(path: Path) -> Iterator[str]:
    """What a module gives to `audit.record(action=...)`: texts, also those of an f-string's beginning, and the texts of
    the module that look like an action where it is given by a variable.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"), path)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and is_record(node)]
    given = [word.value for call in calls for word in call.keywords if word.arg == "action"]
    yield from (one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str))
    if any(not isinstance(one, ast.Constant) for one in given):
        said = {
            word.value.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and is_notice(node)
            for word in [*node.keywords, *[ast.keyword(None, value) for value in node.args]]
            if isinstance(word.value, ast.Constant)
        }
        constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        yield from (
            text
            for text in constants
            if isinstance(text, str) and ACTION.fullmatch(text) and text not in said and text.partition(".")[0] in NOUNS
        )


def is_record(call: ast.Call) -> bool:
    return (isinstance(call.func, ast.Attribute) and call.func.attr == "record") or (
        isinstance(call.func, ast.Name) and call.func.id == "record"
    )


def is_notice(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in ("notify", "_notify")


def test_X4_every_action_that_is_recorded_has_a_wording_for_people() -> None:
    """Add the action to `WORDING` in console/audit_wording.py, one line; a new noun to `NOUNS` too."""
    missing = {
        f"{name_of(path)}: {action}"
        for path in python_files()
        for action in recorded_actions(path)
        if action not in WORDING
    }
    assert not missing, "console/audit_wording.py lacks these actions: add a line for each to WORDING (and NOUNS)"
    assert {action.partition(".")[0] for action in WORDING} <= NOUNS.keys()


def test_a_wording_takes_only_who_and_what() -> None:
    for action, wording in WORDING.items():
        assert str(wording) % {"who": "W", "what": "T"}, action
        assert "%(" not in str(wording) % {"who": "W", "what": "T"}
