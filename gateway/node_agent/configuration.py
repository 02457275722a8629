"""What the operator of a machine says at the agent's start."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_HOME = Path(__file__).resolve().parent.parent.parent / ".beffroi-node"
_LABELS_MAX, _LABEL_LENGTH_MAX = 32, 63


@dataclass(frozen=True, slots=True)
class Configuration:
    """home: the agent's folder; platform, token: for the first start; address: that engines listen on, "": found out;
    simulated_gpus: how many there seem to be where engines are simulated, None: they are real; vllm: the program,
    "": looked for.
    """

    home: Path
    platform: str = ""
    token: str = ""
    address: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    simulated_gpus: int | None = None
    vllm: str = ""


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Configuration:
    """The configuration of a command line; a mistake in it ends the process with words, as argparse does."""
    parser = argparse.ArgumentParser(
        prog="manage.py node",
        description="Makes this machine a node: it runs the engines that the platform assigns to it.",
    )
    parser.add_argument("--platform", default="", help="the platform's address: https://host")
    parser.add_argument("--token", default="", help="from the page Nodes, used once; better in BEFFROI_NODE_TOKEN")
    parser.add_argument("--home", type=Path, default=_HOME, help="the agent's folder: keys, weights, logs")
    parser.add_argument("--address", default="", help="of this machine, that engines listen on and gateways reach")
    parser.add_argument("--label", type=_label, action="append", default=[], metavar="NAME=VALUE", dest="labels")
    parser.add_argument("--vllm", default="", help="the program; by default .venv-engine/bin/vllm, or on PATH")
    parser.add_argument(
        "--simulated",
        type=int,
        nargs="?",
        const=2,
        metavar="GPUS",
        dest="simulated_gpus",
        help="simulated engines on GPUs that do not exist, for trying out; they end with the agent",
    )
    told = parser.parse_args(arguments)
    if len(told.labels) > _LABELS_MAX:
        parser.error(f"at most {_LABELS_MAX} labels")
    return Configuration(
        home=told.home.expanduser().resolve(),
        platform=told.platform,
        token=told.token or environment.get("BEFFROI_NODE_TOKEN", ""),
        address=told.address,
        labels=dict(told.labels),
        simulated_gpus=told.simulated_gpus,
        vllm=told.vllm,
    )


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or max(len(name), len(value)) > _LABEL_LENGTH_MAX or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE of at most {_LABEL_LENGTH_MAX} characters each")
    return name, value
