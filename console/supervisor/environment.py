"""The environment of every process of an installation: what the operator set, and what we make where they did not."""

from collections.abc import Mapping, MutableMapping
from pathlib import Path

from console.env import secret_in
from console.supervisor.home import Home, HomeError, Secrets, load_secrets
from console.supervisor.postgres import APP, DATABASE, GATEWAY, OWNER, database_url
from console.supervisor.processes import PROCESS, ROOT

# A child carries the home it belongs to: after a crash, the next start knows its own (see `leftovers`).
MARK = "BEFFROI_SUPERVISED"
# Tells Django that the static files lie in the home, compressed and under names that change with the content.
STATIC_IS_COLLECTED = "BEFFROI_STATIC_IS_COLLECTED"
_SECRETS = (
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "DATABASE_GATEWAY_URL",
    "VALKEY_URL",
    "RABBITMQ_MANAGEMENT_URL",
    "BEFFROI_SECRET_KEY",
    "BEFFROI_KEY_PEPPERS",
    "BEFFROI_ENCRYPTION_KEYS",
    "BEFFROI_AUDIT_KEYS",
    "BEFFROI_COMMAND_KEYS",
)


def read_env_file(path: Path) -> dict[str, str]:
    """The `NAME=value` lines of a file; `#` begins a comment line. A missing file is an empty one.

    Raises: HomeError with the number of a line that is neither.
    """
    if not path.exists():
        return {}
    values = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        name, equals, value = line.partition("=")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not equals or not name.strip().isidentifier():
            raise HomeError(f"{path}, line {number}: expected NAME=value.")
        values[name.strip()] = value.strip().strip("\"'")
    return values


def adopt(environment: MutableMapping[str, str], *, make: bool) -> None:
    """Complete the environment of a command with `.env` and with what an installation made here.

    So a command typed beside a running `make up` reaches its database. `make`: begin an installation if there is none.
    Raises: HomeError, MisconfiguredError.
    """
    for name, value in read_env_file(ROOT / ".env").items():
        environment.setdefault(name, value)
    home = home_of(environment)
    if make:
        home.open()
        environment.setdefault(PROCESS, "supervisor")
    if make or home.secrets_file.exists():
        environment.update(complete(environment, home, load_secrets(home)))


def home_of(given: Mapping[str, str]) -> Home:
    """The home that the environment names, or `.beffroi` beside the code."""
    return Home(Path(given.get("BEFFROI_HOME") or ROOT / ".beffroi").expanduser().resolve())


def complete(given: Mapping[str, str], home: Home, secrets: Secrets) -> dict[str, str]:
    """`given` with everything added that our processes ask for. What the operator set always wins.

    Secrets handed over as files (`NAME_FILE`) become plain variables: one place reads files, all get the same.
    """
    environment = {**given, **_secret_files(given)}
    if environment.get("DATABASE_URL"):
        for name in ("DATABASE_OWNER_URL", "DATABASE_GATEWAY_URL"):
            environment[name] = environment.get(name) or environment["DATABASE_URL"]
    for name, value in _made(home, secrets, environment.get("BEFFROI_PORT") or "8000").items():
        environment[name] = environment.get(name) or value
    environment["BEFFROI_HOME"] = str(home.folder)
    return environment


def _secret_files(given: Mapping[str, str]) -> dict[str, str]:
    names = [name for name in _SECRETS if given.get(f"{name}_FILE")]
    return {name: secret_in(given, name) for name in names} | {f"{name}_FILE": "" for name in names}


def is_embedded(url: str, home: Home) -> bool:
    """Whether an address is that of a server that we start ourselves."""
    return str(home.sockets) in url


def _made(home: Home, secrets: Secrets, port: str) -> dict[str, str]:
    def embedded(role: str) -> str:
        return database_url(home.sockets / "postgres", role, secrets.database_passwords[role], DATABASE)

    return {
        "DATABASE_URL": embedded(APP),
        "DATABASE_OWNER_URL": embedded(OWNER),
        "DATABASE_GATEWAY_URL": embedded(GATEWAY),
        "VALKEY_URL": f"redis+socket://{home.sockets / 'valkey.sock'}",
        "BEFFROI_SECRET_KEY": secrets.secret_key,
        "BEFFROI_KEY_PEPPERS": secrets.key_peppers,
        "BEFFROI_ENCRYPTION_KEYS": secrets.encryption_keys,
        "BEFFROI_AUDIT_KEYS": secrets.audit_keys,
        "BEFFROI_COMMAND_KEYS": secrets.command_keys,
        "BEFFROI_DJANGO_SOCKET": str(home.sockets / "django.sock"),
        "BEFFROI_LOG_SPOOL": str(home.folder / "log-spool"),
        "BEFFROI_METRICS_FOLDER": str(home.folder / "metrics"),
        "BEFFROI_PORT": port,
        "BEFFROI_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "PYTHONUNBUFFERED": "1",
    }
