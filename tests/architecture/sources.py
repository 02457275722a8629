"""Our own source files, for the tests that read code instead of running it."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("console", "gateway", "billing", "models_catalog", "identity")


def python_files(*folders: str) -> Iterator[Path]:
    """Every Python file below the folders (all of our packages when none is named), migrations aside."""
    for folder in folders or PACKAGES:
        yield from (path for path in sorted((ROOT / folder).rglob("*.py")) if "migrations" not in path.parts)


def migrations() -> Iterator[Path]:
    """Every migration."""
    for package in PACKAGES:
        yield from (path for path in sorted((ROOT / package).rglob("migrations/*.py")) if path.name != "__init__.py")


def name_of(path: Path) -> str:
    """How a file is told in a failure."""
    return str(path.relative_to(ROOT))


def imported_modules(path: Path) -> set[str]:
    """The full names of what a file imports, also inside functions: `from a import b` counts as both `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def is_within(module: str, *packages: str) -> bool:
    """Whether a module is one of the packages or lies in one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)
