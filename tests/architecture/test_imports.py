"""Who may import what, beyond the layers that import-linter holds."""

import subprocess
import sys

import pytest

from tests.architecture.sources import PACKAGES, ROOT, imported_modules, is_within, migrations, name_of, python_files

HTTP_CLIENTS = ("aiohttp", "httpx", "requests", "urllib3", "http.client", "urllib.request", "websockets", "openai")
MAY_CALL_OUT = ("identity/egress.py", "gateway/relay/")


@pytest.mark.parametrize("package", ["gateway.relay", "gateway.simulated_engine"])
def test_the_data_plane_starts_without_django(package: str) -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in python_files(package.replace(".", "/"))
        if path.name not in ("__init__.py", "__main__.py")
    ]
    program = f"import sys, importlib\nfor name in {modules!r}: importlib.import_module(name)\n"
    program += (
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'django', 'celery', 'rest_framework'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_the_node_agent_runs_without_django_or_a_database() -> None:
    child = "hugging_face_child"  # it runs in the engine's environment
    modules = [f"gateway.node_agent.{path.stem}" for path in python_files("gateway/node_agent") if path.stem != child]
    missing = ["django", "rest_framework", "psycopg", "billing", "models_catalog", "console", "gateway.relay"]
    program = f"import sys, importlib\nfor name in {missing!r}: sys.modules[name] = None\n"
    program += f"for name in {modules!r}: importlib.import_module(name)\n"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_outgoing_http_has_one_door() -> None:
    others = [
        f"{name_of(path)} imports {module}"
        for path in python_files()
        if not name_of(path).startswith(MAY_CALL_OUT)
        for module in sorted(imported_modules(path))
        if is_within(module, *HTTP_CLIENTS)
    ]
    assert not others


def test_every_module_is_named_after_what_it_holds() -> None:
    vague = {"utils.py", "helpers.py", "misc.py", "common.py"}
    assert not [name_of(path) for path in python_files(*PACKAGES, "tests") if path.name in vague]


def test_migrations_import_no_code_of_ours() -> None:
    """Our code changes, a migration must not: it would do something else on a new installation than on an old one."""
    found = [
        f"{name_of(path)} imports {module}"
        for path in migrations()
        for module in sorted(imported_modules(path))
        if is_within(module, *PACKAGES)
    ]
    assert not found


def test_rules_are_called_and_never_hung_on_signals() -> None:
    forbidden = ("django.db.models.signals", "django.dispatch.receiver")
    found = [name_of(path) for path in python_files() if any(is_within(m, *forbidden) for m in imported_modules(path))]
    assert not found
