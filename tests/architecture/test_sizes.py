"""Short functions and short files: the limits of CONTRIBUTING.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.sources import PACKAGES, name_of, python_files

LONGEST_FUNCTION = 70
LONGEST_FILE = 400


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_no_function_is_longer_than_a_screen() -> None:
    too_long = [
        f"{name_of(path)}: {name} has {lines} lines"
        for path in python_files(*PACKAGES, "bench", "tests")
        for name, lines in functions(path)
        if lines > LONGEST_FUNCTION
    ]
    assert not too_long


def test_no_file_is_longer_than_a_reader_remembers() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in python_files(*PACKAGES, "bench", "tests")}
    assert not {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE}
