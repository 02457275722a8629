"""Whether an installation billed exactly what the engine said to the client, after everything that was measured."""

import subprocess
import urllib.request
from collections.abc import Mapping

import msgspec
import psycopg

from bench.commits import LABEL
from bench.mock import Counts
from console.supervisor.environment import complete
from console.supervisor.home import Home, load_secrets
from console.supervisor.processes import python

# Probes of published models are billed to the platform's own account; the engine counts none of them as the client's.
_BILLED = """
    select count(*), coalesce(sum(input_quantity + cached_quantity), 0)::bigint,
        coalesce(sum(output_quantity + reasoning_quantity), 0)::bigint,
        count(*) filter (where status <> 'completed')
    from billing_usage_record r
    where coalesce(label, '') <> %s
        and not exists (select from identity_tenant t where t.id = r.tenant_id and t.is_platform)
"""
VERIFY_S = 300


def environment_of(home: Home, given: Mapping[str, str]) -> dict[str, str]:
    """What the processes of a running installation have in their environment."""
    return complete(given, home, load_secrets(home))


def counts_of(engine_port: int) -> Counts:
    """What the engine counted on a port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{engine_port}/stats", timeout=10) as answer:
        return msgspec.json.decode(answer.read(), type=Counts)


def database_facts(environment: Mapping[str, str]) -> str:
    """The server's version, and whether a commit is on the disk before it is answered."""
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        version, fsync, commit = (
            connection.execute(f"show {name}").fetchall()[0][0]
            for name in ("server_version", "fsync", "synchronous_commit")
        )
    return f"PostgreSQL {version} (fsync {fsync}, synchronous_commit {commit})"


def differences(environment: Mapping[str, str], engine: Counts) -> list[str]:
    """What was billed otherwise than it was said; nothing where all is well."""
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        found = connection.execute(_BILLED, (LABEL,)).fetchone()
    said = (engine.requests, engine.prompt_tokens, engine.completion_tokens, 0)
    names = ("requests", "prompt tokens", "completion tokens", "requests that did not end as they should")
    return [
        f"{billed:,} {name} were billed, the engine answered {answered:,}"
        for name, billed, answered in zip(names, found or (), said, strict=True)
        if billed != answered
    ]


def verify_ledger(environment: Mapping[str, str]) -> list[str]:
    """What `manage.py verify_ledger` has to say against the ledger; nothing where it adds up."""
    command = python("manage.py", "verify_ledger")
    done = subprocess.run(
        command.argv, cwd=command.folder, env=dict(environment), capture_output=True, text=True, timeout=VERIFY_S
    )
    return [] if done.returncode == 0 else [f"verify_ledger: {done.stdout[-1000:]}{done.stderr[-1000:]}"]
