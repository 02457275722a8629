"""The chart, as Helm renders it: least privilege, secrets by reference, and commands and probes that exist."""

import importlib.util
import re
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from console.settings import CELERY_BEAT_SCHEDULE
from gateway.node_agent.configuration import parse
from gateway.node_agent.engine_commands import PORTS
from gateway.relay.routes import LIVE, READY
from tests.deploy.helm import CHART, ROOT, Refused, is_prepared, rendered

pytestmark = pytest.mark.skipif(not is_prepared(), reason="python -m tests.deploy.helm prepare")

LEAST: dict[str, Any] = {
    "publicUrl": "https://llm.example.org",
    "image": {"repository": "registry.example.org/beffroi"},
}
ALL: dict[str, Any] = LEAST | {
    "operatorUrl": "https://operator.example.org",
    "ingress": {"enabled": True, "className": "nginx", "annotations": {"a": "b"}, "tls": [{"secretName": "tls"}]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "environment": {"BEFFROI_MAIL_FROM": "llm@example.org"},
    "environmentSecrets": ["beffroi-mail"],
    "front": {"processes": 3, "trustedProxies": ["10.0.0.0/8", "fd00::/8"]},
    "podAnnotations": {"a": "b"},
    "tolerations": [{"key": "k", "operator": "Exists"}],
    "nodeSelector": {"k": "v"},
    "nodes": {
        "image": "registry.example.org/beffroi-node:1",
        "agents": [
            {
                "name": f"gpu-0{number}",
                "tokenSecret": f"token-{number}",
                "claim": f"disk-{number}",
                "gpus": 8,
                "nodeSelector": {"kubernetes.io/hostname": f"machine-{number}"},
                "labels": {"site": "paris", "rack": 7},
            }
            for number in (1, 2)
        ],
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "environmentSecrets": ["proxies"],
    },
}
AGENTS = {"llm-beffroi-node-gpu-01", "llm-beffroi-node-gpu-02"}
SECRET = re.compile(r"(SECRET|KEYS|PEPPERS|PASSWORD|TOKEN|_URL$)")


@lru_cache
def objects(which: str) -> dict[tuple[str, str], dict[str, Any]]:
    """By kind and name."""
    return {(one["kind"], one["metadata"]["name"]): one for one in rendered(LEAST if which == "least" else ALL)}


def pods(which: str) -> dict[str, dict[str, Any]]:
    """The pods' specifications by the name of what makes them."""
    return {
        name: one["spec"]["template"]["spec"]
        for (kind, name), one in objects(which).items()
        if kind in ("Deployment", "Job")
    }


def containers(which: str) -> dict[str, dict[str, Any]]:
    """All of them."""
    return {f"{pod}/{one['name']}": one for pod, spec in pods(which).items() for one in spec["containers"]}


def variables(container: dict[str, Any]) -> dict[str, Any]:
    """By name."""
    return {one["name"]: one for one in container["env"]}


both = pytest.mark.parametrize("which", ["least", "all"])


@both
def test_what_exists_is_run_and_no_more(which: str) -> None:
    ours = {"llm-beffroi-front", "llm-beffroi-worker", "llm-beffroi-beat", "llm-beffroi-migrate"}
    assert set(pods(which)) == ours | (AGENTS if which == "all" else set())
    gateways = [name for name in containers(which) if "/gateway-" in name]
    assert len(gateways) == {"least": 2, "all": 3}[which]
    kinds = {kind for kind, _ in objects(which)}
    assert ("Ingress" in kinds, "ServiceMonitor" in kinds) == (which == "all", which == "all")


@both
def test_pods_have_no_privilege_and_nothing_to_write_on(which: str) -> None:
    for spec in pods(which).values():
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        kept = [volume["name"] for volume in spec["volumes"] if "persistentVolumeClaim" in volume]
        assert kept in ([], ["home"])  # of a node: its key and its weights
        assert all(volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"] if volume["name"] != "home")
    for container in containers(which).values():
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]["cpu"]


@both
def test_secrets_are_named_and_never_written(which: str) -> None:
    public = {"BEFFROI_PUBLIC_URL", "BEFFROI_OPERATOR_URL", "BEFFROI_GATEWAY_URL"}
    for container in containers(which).values():
        for name, variable in variables(container).items():
            if SECRET.search(name) and name not in public:
                assert variable["valueFrom"]["secretKeyRef"]["key"] == name
            else:
                assert "value" in variable or variable["valueFrom"].keys() == {"fieldRef"}


@both
def test_each_process_gets_its_own_login_to_the_database(which: str) -> None:
    for name, container in containers(which).items():
        logins = {variable for variable in variables(container) if variable.startswith("DATABASE_")}
        if "/gateway-" in name:
            assert logins == {"DATABASE_GATEWAY_URL"}
            assert "BEFFROI_SECRET_KEY" not in variables(container)
        elif name.endswith("/agent"):
            assert set(variables(container)) == {"HOME", "POD_IP", "BEFFROI_NODE_TOKEN"}
        elif name.endswith("/migrate"):
            assert logins == {"DATABASE_URL", "DATABASE_OWNER_URL"}
        else:
            assert logins == {"DATABASE_URL"}


def test_probes_ask_what_the_relay_answers() -> None:
    gateway = containers("least")["llm-beffroi-front/gateway-0"]
    assert gateway["readinessProbe"]["httpGet"] == {"path": READY, "port": 8000}
    assert gateway["livenessProbe"]["httpGet"] == {"path": LIVE, "port": 8000}
    service = objects("least")["Service", "llm-beffroi"]["spec"]
    labels = objects("least")["Deployment", "llm-beffroi-front"]["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()


def test_a_pod_is_given_the_time_that_a_gateway_takes_to_drain() -> None:
    grace = pods("least")["llm-beffroi-front"]["terminationGracePeriodSeconds"]
    assert grace >= 105 + 5  # console/supervisor/plan.py, and what preStop waits


@both
def test_commands_are_ours(which: str) -> None:
    for container in containers(which).values():
        command = container["command"]
        if command[1] == "-m":
            assert importlib.util.find_spec(command[2]) is not None
        elif command[0] == "sh":
            called = re.findall(r"manage\.py (\w+)", command[-1])
            found = {path.stem for path in ROOT.glob("*/management/commands/*.py")}
            assert called == ["migrate", "load_catalog", "load_prices"]
            assert set(called) <= found
        else:
            assert command[:3] == ["celery", "-A", "console"]
    assert CELERY_BEAT_SCHEDULE  # what the clock is for


def test_every_variable_is_one_that_somebody_reads() -> None:
    told = (ROOT / ".env.example").read_text()
    inside = {"BEFFROI_PROCESS", "BEFFROI_NODE_TOKEN", "HOME", "POD_IP"}
    for container in containers("all").values():
        assert {name for name in variables(container) if f"{name}=" not in told} <= inside


def test_an_agent_is_on_its_machine_with_its_gpus_and_understands_its_command() -> None:
    for number, name in enumerate(sorted(AGENTS), start=1):
        spec = pods("all")[name]
        [agent] = spec["containers"]
        assert spec["nodeSelector"] == {"kubernetes.io/hostname": f"machine-{number}"}
        assert agent["resources"]["limits"]["nvidia.com/gpu"] == 8
        assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": f"disk-{number}"}
        assert variables(agent)["BEFFROI_NODE_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == f"token-{number}"
        told = parse(agent["command"][3:], {"BEFFROI_NODE_TOKEN": "bfn_x"})
        assert (told.platform, told.address, told.token) == ("https://llm.example.org", "$(POD_IP)", "bfn_x")
        assert told.labels == {"site": "paris", "rack": "7"}
        home = next(one for one in agent["volumeMounts"] if one["name"] == "home")
        assert str(told.home) == home["mountPath"] == variables(agent)["HOME"]["value"]
    selectors = [objects("all")["Deployment", name]["spec"]["selector"]["matchLabels"] for name in AGENTS]
    assert selectors[0] != selectors[1]


def test_engines_are_reached_by_gateways_and_the_worker_alone() -> None:
    policy = objects("all")["NetworkPolicy", "llm-beffroi-node"]["spec"]
    [rule] = policy["ingress"]
    parts = {one["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for one in rule["from"]}
    assert parts == {"front", "worker"}
    [port] = rule["ports"]
    assert range(port["port"], port["endPort"] + 1) == PORTS
    agent = objects("all")["Deployment", min(AGENTS)]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= agent.items()
    assert ("NetworkPolicy", "llm-beffroi-node") not in objects("least")


@pytest.mark.parametrize("missing", ["name", "tokenSecret", "nodeSelector", "claim"])
def test_an_agent_that_lacks_something_is_refused(missing: str) -> None:
    whole = ALL["nodes"]["agents"][0]
    agent = {name: value for name, value in whole.items() if name != missing}
    with pytest.raises(Refused, match=missing):
        rendered(LEAST | {"nodes": {"image": "x", "agents": [agent]}})


def test_both_addresses_lead_to_the_door() -> None:
    rules = objects("all")["Ingress", "llm-beffroi"]["spec"]["rules"]
    assert [rule["host"] for rule in rules] == ["llm.example.org", "operator.example.org"]
    monitor = objects("all")["ServiceMonitor", "llm-beffroi"]["spec"]["endpoints"]
    assert [(one["path"], one["authorization"]["credentials"]["name"]) for one in monitor] == [
        ("/metrics", "beffroi-metrics")
    ]


@pytest.mark.parametrize("missing", ["publicUrl", "image"])
def test_without_an_address_or_an_image_nothing_is_installed(missing: str) -> None:
    with pytest.raises(Refused, match="publicUrl" if missing == "publicUrl" else "image.repository"):
        rendered({name: value for name, value in LEAST.items() if name != missing})


def test_the_image_carries_what_the_chart_counts_on() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    values = (CHART / "values.yaml").read_text()
    assert re.search(r"useradd --uid 10001\b", dockerfile)
    assert "runAsUser: 10001" in values
    for name in ("BEFFROI_DJANGO_SOCKET", "BEFFROI_METRICS_FOLDER"):
        [path] = re.findall(rf"{name}=(\S+)", dockerfile)
        assert path.startswith("/run/beffroi/")
    of_nodes = (ROOT / "deploy" / "Dockerfile.node").read_text()
    assert re.search(r"useradd --uid 10001\b", of_nodes)
    [engine] = re.findall(r"^vllm==(\S+)", (ROOT / "requirements-engine.txt").read_text(), re.MULTILINE)
    assert f"FROM vllm/vllm-openai:v{engine}\n" in of_nodes
    assert "/opt/agent" in of_nodes


def test_the_image_of_nodes_has_all_that_an_agent_reads(tmp_path: Path) -> None:
    for line in re.findall(r"^COPY (.+)$", (ROOT / "deploy" / "Dockerfile.node").read_text(), re.MULTILINE):
        for name in line.split()[:-1]:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, tmp_path / name)
    command = [sys.executable, "-m", "gateway.node_agent", "--home", str(tmp_path / "home")]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.partition(":")[0]) == (1, "This machine is no node yet")


def test_the_socket_of_the_pages_is_where_the_image_says() -> None:
    assert "/run/beffroi/django.sock" in containers("least")["llm-beffroi-front/django"]["command"]
