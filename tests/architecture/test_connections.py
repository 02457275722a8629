"""S6: each module of ours that can open a connection is tied to a line of `console/connections.py`."""

import ast
from collections.abc import Iterator
from pathlib import Path

from console.connections import Kind
from tests.architecture.sources import is_within, name_of, python_files

# What opens connections, or starts programs that do. `identity.egress` counts: who imports it connects through it.
OPENERS = (
    *("socket", "ssl", "smtplib", "ftplib", "imaplib", "poplib", "nntplib", "telnetlib", "xmlrpc", "socketserver"),
    *(
        "http.client",
        "http.server",
        "urllib.request",
        "urllib3",
        "aiohttp",
        "httpx",
        "requests",
        "websockets",
        "openai",
    ),
    *("psycopg", "psycopg_pool", "redis", "kombu", "celery", "amqp", "channels_redis", "grpc", "opentelemetry"),
    *("django.core.mail", "mozilla_django_oidc", "subprocess", "multiprocessing", "sentry_sdk", "identity.egress"),
    "huggingface_hub",
)
OPENING_CALLS = frozenset(
    {
        *("create_connection", "create_unix_connection", "create_datagram_endpoint", "open_connection", "sock_connect"),
        *("open_unix_connection", "connect", "connect_ex", "sendto", "urlopen", "urlretrieve", "getaddrinfo"),
        *("create_subprocess_exec", "create_subprocess_shell", "posix_spawn", "execv", "execve", "popen"),
        *("send_mail", "mail_admins", "mail_managers", "send_mass_mail", "send_task", "apply_async", "delay"),
    }
)

# Modules that connect, and the lines of the list that their connections are on.
DOORS: dict[str, tuple[Kind, ...]] = {
    "console/celery.py": (Kind.BROKER,),
    "console/connections.py": (Kind.NAMES,),
    "console/demand_news.py": (Kind.DATABASE, Kind.BROKER),
    "console/live/access_news.py": (Kind.DATABASE,),
    "console/management/commands/migrate.py": (Kind.DATABASE,),
    "console/node_reports.py": (Kind.BROKER,),
    "console/operator_jobs.py": (Kind.BROKER,),
    "console/set_up_list.py": (Kind.PUBLIC_ADDRESS, Kind.MAIL),
    "console/sign_in/backend.py": (Kind.PROVIDERS,),
    "console/sign_in/flows.py": (Kind.PROVIDERS,),
    "console/sign_in/middleware.py": (Kind.PROVIDERS,),
    "console/sign_in/sign_out.py": (Kind.PROVIDERS,),
    "console/sign_in/views.py": (Kind.PROVIDERS,),
    "console/supervisor/bootstrap.py": (Kind.PACKAGES,),
    "console/supervisor/given_servers.py": (Kind.DATABASE, Kind.BROKER),
    "console/supervisor/packages.py": (Kind.PACKAGES,),
    "console/supervisor/postgres.py": (Kind.DATABASE,),
    "console/supervisor/valkey.py": (Kind.BROKER,),
    "console/views/audit.py": (Kind.BROKER,),
    "console/views/operator/audit.py": (Kind.BROKER,),
    "gateway/api/audit.py": (Kind.BROKER,),
    "gateway/loopback.py": (Kind.GATEWAYS,),
    "gateway/metrics/from_database.py": (Kind.DATABASE,),
    "gateway/node_agent/__main__.py": (Kind.BROKER,),
    "gateway/node_agent/broker.py": (Kind.BROKER,),
    "gateway/node_agent/engine_calls.py": (Kind.ENGINES,),
    "gateway/node_agent/hugging_face_child.py": (Kind.WEIGHTS,),
    "gateway/node_agent/joining.py": (Kind.PUBLIC_ADDRESS,),
    "gateway/node_agent/machine.py": (Kind.NAMES,),
    "gateway/node_agent/mirror.py": (Kind.WEIGHTS,),
    "gateway/node_agent/weights.py": (Kind.WEIGHTS,),
    "gateway/pools/counters.py": (Kind.ENGINES,),
    "gateway/pools/fleet/assignments.py": (Kind.BROKER,),
    "gateway/pools/fleet/broker.py": (Kind.BROKER,),
    "gateway/pools/fleet/rabbitmq_users.py": (Kind.BROKER,),
    "gateway/pools/fleet/valkey_users.py": (Kind.BROKER,),
    "gateway/pools/probes.py": (Kind.ENGINES,),
    "gateway/pools/tasks.py": (Kind.BROKER,),
    "gateway/relay/batch_line.py": (Kind.DATABASE,),
    "gateway/relay/demand_notes.py": (Kind.DATABASE,),
    "gateway/relay/database.py": (Kind.DATABASE, Kind.NAMES),
    "gateway/relay/gateway.py": (Kind.ENGINES, Kind.NAMES),
    "gateway/relay/group_commit.py": (Kind.DATABASE,),
    "gateway/relay/key_use.py": (Kind.DATABASE,),
    "gateway/relay/ledger.py": (Kind.DATABASE,),
    "gateway/relay/sweeper.py": (Kind.DATABASE,),
    "gateway/relay/upstream.py": (Kind.ENGINES,),
    "identity/certificates.py": (Kind.PUBLIC_ADDRESS, Kind.PROVIDERS, Kind.ENGINES, Kind.EXPORTS),
    "identity/egress.py": (Kind.NAMES,),
    "identity/notice_mail.py": (Kind.MAIL,),
    "identity/oidc_discovery.py": (Kind.PROVIDERS,),
    "identity/shipping.py": (Kind.EXPORTS,),
    "identity/webhook_post.py": (Kind.WEBHOOKS,),
}
# Modules that take something of these without connecting to anybody elsewhere: a word, an error, a socket that listens
# or was given, a program of this machine (our own processes, PostgreSQL, Valkey, useradd).
NO_DOORS: dict[str, tuple[str, ...]] = {
    "billing/invoices/document/pdf.py": ("subprocess",),
    "billing/invoices/document/schematron.py": ("subprocess",),
    "billing/tasks.py": ("celery",),
    "console/server.py": ("socket",),
    "console/settings.py": ("psycopg.conninfo",),
    "console/supervisor/account.py": ("subprocess",),
    "console/supervisor/installation.py": ("socket",),
    "console/supervisor/listening.py": (
        "socket",
        ".connect_ex()",
    ),
    "console/supervisor/plan.py": ("socket",),
    "console/supervisor/processes.py": ("subprocess",),
    "console/supervisor/service.py": ("subprocess",),
    "console/supervisor/supervisor.py": ("subprocess",),
    "console/tasks.py": ("celery",),
    "gateway/node_agent/engine_commands.py": ("socket",),
    "gateway/node_agent/processes.py": ("subprocess", ".execve()"),
    "gateway/node_agent/replicas.py": ("subprocess",),
    "gateway/relay/__main__.py": ("socket",),
    "gateway/relay/client.py": ("socket",),
    "gateway/relay/liveness.py": ("socket",),
    "gateway/simulated_engine/protocol.py": ("socket",),
    "identity/log_exports.py": ("identity.egress.UrlRefused", "identity.egress.place_of"),
    "identity/tasks.py": ("celery",),
    "identity/webhooks.py": ("identity.egress.URL_LENGTH_MAX",),
}
# What none of our modules does itself: the engines fetch it, from the hosts that the gateway lets by.
NOT_OURS = {Kind.MEDIA}


def ways_out(path: Path) -> Iterator[str]:
    """What a module imports or calls that opens a connection."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), path)):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names if is_within(alias.name, *OPENERS))
            case ast.ImportFrom(module=str(module)):
                names = (f"{module}.{alias.name}" for alias in node.names)
                yield from (name for name in names if is_within(name, *OPENERS))
            case ast.Call(func=ast.Attribute(attr=attr)) if attr in OPENING_CALLS:
                yield f".{attr}()"


def beyond(name: str, ways: list[str]) -> list[str]:
    """What of a module's ways out neither table allows it."""
    allowed = NO_DOORS.get(name, ())
    return [] if name in DOORS else [way for way in ways if way not in allowed and not is_within(way, *allowed)]


def test_S6_a_module_that_can_connect_is_tied_to_a_line_of_the_list() -> None:
    """A new door: add it to `DOORS` with its line, and the line to `console/connections.py` where there is none."""
    found = {name_of(path): ways for path in python_files() if (ways := list(ways_out(path)))}
    assert {name: more for name, ways in found.items() if (more := beyond(name, ways))} == {}
    assert sorted((DOORS.keys() | NO_DOORS.keys()) - found.keys()) == []


def test_S6_each_line_of_the_list_has_its_door() -> None:
    assert {kind for lines in DOORS.values() for kind in lines} | NOT_OURS == set(Kind)


def test_a_way_out_is_seen_wherever_it_hides(tmp_path: Path) -> None:
    hidden = {
        "def report():\n    import urllib.request\n": "urllib.request",
        "from http import client\n": "http.client",
        "import asyncio\nasync def go():\n    await asyncio.open_connection('a', 1)\n": ".open_connection()",
        "from identity.egress import fetch\n": "identity.egress.fetch",
        "from identity import egress\n": "identity.egress",
    }
    for text, way in hidden.items():
        module = tmp_path / "module.py"
        module.write_text(text)
        assert way in list(ways_out(module)), text
