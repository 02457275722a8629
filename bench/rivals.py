"""What the gateway is measured beside: nginx as a plain proxy, and vllm-router (Rust). Neither keeps a ledger."""

import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import distributions
from pathlib import Path
from typing import NamedTuple

from bench import script
from bench.machine import free_ports
from console.supervisor.processes import ROOT, Command, spawn

ENVIRONMENT = ROOT / ".venv-bench"
REQUIREMENTS = ROOT / "requirements-bench.txt"
START_S = 30
INSTALL_S = 300

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log crit;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_max_body_size 64m;
  client_body_buffer_size 1m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  map $http_authorization $is_known {{ default 0; "Bearer {key}" 1; }}
  upstream engine {{ server 127.0.0.1:{engine}; keepalive 2048; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      if ($is_known = 0) {{ return 401; }}
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""


class Missing(Exception):
    """A rival cannot be had on this machine; the message says why."""


@dataclass(frozen=True)
class Target:
    """Something that answers on a port: its name, what to say to it, and whose CPU time it takes."""

    name: str
    port: int
    key: str
    watch: Mapping[str, list[int]]


class Started(NamedTuple):
    """A rival at work."""

    target: Target
    process: subprocess.Popen[bytes]
    version: str


def start_nginx(engine: int, key: str, folder: Path, environment: Mapping[str, str]) -> Started:
    """nginx in front of the engine's port. Raises: Missing."""
    program = _nginx()
    port = free_ports(1)[0]
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, engine=engine, port=port, key=key))
    version = subprocess.run([program, "-v"], capture_output=True, text=True).stderr.strip().rpartition("/")[2]
    argv = [program, "-p", str(folder), "-c", str(configuration), "-e", str(folder / "nginx.log")]
    return _start(Target("nginx", port, key, {}), argv, folder, environment, f"nginx {version}")


def start_vllm_router(engine: int, key: str, folder: Path, environment: Mapping[str, str]) -> Started:
    """vllm-router in front of the engine's port. Raises: Missing."""
    version = _install_vllm_router()
    port, metrics = free_ports(2)
    argv = [str(ENVIRONMENT / "bin/vllm-router"), "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--worker-urls", f"http://127.0.0.1:{engine}", "--policy", "round_robin"]
    argv += ["--log-level", "error", "--prometheus-port", str(metrics)]
    return _start(Target("vllm-router", port, key, {}), argv, folder, environment, f"vllm-router {version}")


def _start(target: Target, argv: Sequence[str], folder: Path, environment: Mapping[str, str], version: str) -> Started:
    log = folder / "log"
    process = spawn(Command(argv, folder=folder), environment, log)
    deadline = time.monotonic() + START_S
    while not answers(target.port, target.key):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise Missing(f"{target.name} did not start: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.1)
    return Started(replace(target, watch={"gateway": [process.pid]}), process, version)


def answers(port: int, key: str) -> bool:
    """Whether a chat completion comes back."""
    body = f'{{"model":"{script.MODEL}","messages":[{{"role":"user","content":"hi"}}],"max_tokens":1}}'
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    address = f"http://127.0.0.1:{port}/v1/chat/completions"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, body.encode(), headers), timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _nginx() -> str:
    """nginx of this machine, or Debian's, unpacked beside the other rival: nothing is installed into the system."""
    found = shutil.which("nginx")
    if found:
        return found
    folder = ENVIRONMENT / "nginx"
    program = folder / "usr/sbin/nginx"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run(["apt-get", "download", "nginx"], folder)
        _run(["dpkg", "-x", *(str(deb) for deb in folder.glob("nginx_*.deb")), "."], folder)
    _run([str(program), "-v"], folder)
    return str(program)


def _install_vllm_router() -> str:
    """Make sure that the version of requirements-bench.txt is in its environment; answers the version."""
    wanted = REQUIREMENTS.read_text().split("vllm-router==")[1].split()[0]
    if _installed_version() != wanted:
        _run([sys.executable, "-m", "venv", str(ENVIRONMENT)], ROOT)
        pip = [str(ENVIRONMENT / "bin/python"), "-m", "pip", "install", "--disable-pip-version-check", "-q"]
        _run([*pip, "-r", str(REQUIREMENTS)], ROOT)
    return wanted


def _installed_version() -> str | None:
    folders = [str(folder) for folder in ENVIRONMENT.glob("lib/python3*/site-packages")]
    return next((found.version for found in distributions(name="vllm-router", path=folders)), None)


def _run(argv: Sequence[str], folder: Path) -> None:
    """Raises: Missing."""
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"`{' '.join(argv)}`: {error}") from error
    if done.returncode != 0:
        raise Missing(f"`{' '.join(argv)}`: {done.stderr.strip()[-300:]}")


Starter = Callable[[int, str, Path, Mapping[str, str]], Started]
STARTERS: Mapping[str, Starter] = {"nginx": start_nginx, "vllm-router": start_vllm_router}
