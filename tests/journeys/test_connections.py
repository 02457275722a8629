"""S6: an installation at work connects to nobody but whom `console/connections.py` lists."""

import http.client
import json
import threading
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import pytest

from console.connections import Kind
from tests.support.installation import wait_for
from tests.support.mail_server import mail_server
from tests.support.observed import STRACE, ObservedInstallation
from tests.support.rude_provider import CLIENT, SECRET, RudeProvider, rude_provider

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(420),
    pytest.mark.skipif(STRACE is None, reason="it needs strace (apt install strace) and the right to trace"),
]

Met = set[tuple[str, int]]
# What the journey below does connects on each of these lines; two of them are one address here.
USED = (
    {Kind.ENGINES},
    {Kind.GATEWAYS, Kind.PUBLIC_ADDRESS},
    {Kind.PROVIDERS},
    {Kind.MAIL},
    {Kind.WEBHOOKS},
    {Kind.EXPORTS},
)
JOBS = ("pools.sample_replicas", "pools.probe_replicas", "pools.probe_models", "identity.deliver_notices")
PLANNED = ("what=switches", "starts_at=2026-12-01T20:00+01:00", "ends_at=2026-12-01T22:00+01:00", "effect=none")
# All that a command would do, in one: each begins with some seconds of loading.
SET_UP = f"""
from django.core.management import call_command
from console.operator_jobs import run_now
from identity.access import Caller
from identity.log_exports import ExportSettings, Protocol, add_export
from identity.models import Tenant
from identity.operators import Operator
from identity.webhooks import add_webhook
call_command("set_up_provider", "shared", issuer="{{issuer}}", client_id="{CLIENT}")
tenant = Tenant.objects.get(slug="valbourg")
add_webhook(by=Caller.system("tests", tenant), name="Alarms", url="{{url}}")
to = ExportSettings("SIEM", Protocol.OTLP, "{{collector}}")
add_export(by=Operator.system("tests"), settings=to, from_beginning=True)
call_command("announce", "platform.work_planned", *{PLANNED})
for job in {JOBS}:
    run_now(job)
"""


def unexplained(met: Met, rows: list[dict[str, Any]], *, without: Collection[Kind] = ()) -> Met:
    """Whom no line of the list names; `without`: as if it had not these."""
    listed = [(row["host"], row["port"]) for row in rows if row["kind"] not in without]
    return met - {(str(ip_address(host)), port) for host, port in listed if host[0].isdigit() or ":" in host}


@contextmanager
def receiver() -> Iterator[tuple[str, list[str]]]:
    """An address that takes whatever is posted to it, and the paths that were."""
    posted: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            posted.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/logs", posted
    finally:
        server.shutdown()
        server.server_close()


def sign_in(beffroi: ObservedInstallation, provider: RudeProvider) -> int:
    """There and back through the provider. Returns: the status of the way back."""
    with closing(http.client.HTTPConnection("127.0.0.1", beffroi.port, timeout=30)) as client:
        client.request("GET", "/sign-in/with/shared")
        there = client.getresponse()
        there.read()
        set_cookies = [value for name, value in there.getheaders() if name.lower() == "set-cookie"]
        cookies = "; ".join(value.partition(";")[0] for value in set_cookies)
        back = urlsplit(provider.authorize(there.headers["Location"]))
        client.request("GET", f"{back.path}?{back.query}", headers={"Cookie": cookies})
        return client.getresponse().status


def test_S6_every_connection_of_an_installation_at_work_is_on_the_list() -> None:
    with mail_server() as mail, rude_provider() as provider, receiver() as (hook, posted), receiver() as (siem, taken):
        provider.claims = {"sub": "alice", "email": "alice@valbourg.example", "email_verified": True}
        environment = {
            "BEFFROI_MAIL_URL": f"smtp://127.0.0.1:{mail.port}",
            "BEFFROI_MAIL_FROM": "Beffroi <beffroi@example.org>",
            "BEFFROI_PRIVATE_WEBHOOKS": "1",
            "BEFFROI_PRIVATE_PROVIDER_HOSTS": "127.0.0.1",
            "BEFFROI_SHARED_CLIENT_SECRET": SECRET,
            "BEFFROI_GATEWAYS": "1",
        }
        with ObservedInstallation(is_closed=False, **environment) as beffroi:
            commands = SET_UP.format(issuer=provider.issuer, url=hook, collector=siem)
            beffroi.manage("shell", "--no-imports", "-c", commands)
            assert sign_in(beffroi, provider) in (200, 302)
            assert beffroi.chat_status() == 200
            wait_for(lambda: mail.mails and posted and taken, beffroi.said)
            rows = json.loads(beffroi.manage("connections", "--json"))
            wait_for(lambda: all(unexplained(beffroi.met(), rows, without=kinds) for kinds in USED), beffroi.said)
            assert unexplained(beffroi.met(), rows) == set()
