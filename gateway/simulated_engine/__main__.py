"""The command: `python -m gateway.simulated_engine --model ID=KIND ...`; SIGTERM or SIGINT ends it."""

import argparse
import asyncio
import os
import resource
import signal
import sys

import uvloop

from gateway.simulated_engine import faults
from gateway.simulated_engine.config import Config, Kind
from gateway.simulated_engine.engine import Engine
from gateway.simulated_engine.protocol import Connection
from gateway.simulated_engine.routes import handle

BACKLOG = 4096


def model(argument: str) -> tuple[str, Kind]:
    """`ID=KIND`; the id may hold `=` itself."""
    name, _, kind = argument.rpartition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"{argument!r} is not ID=KIND (kinds: {', '.join(Kind)})")
    try:
        return name, Kind(kind)
    except ValueError:
        raise argparse.ArgumentTypeError(f"unknown kind {kind!r}: one of {', '.join(Kind)}") from None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="python -m gateway.simulated_engine", description="A simulated vLLM engine.")
    found.add_argument("--host", default="127.0.0.1")
    found.add_argument(
        "--port", type=int, default=0, help="0 lets the kernel choose; the first line printed says which"
    )
    found.add_argument("--model", type=model, action="append", required=True, metavar="ID=KIND", dest="models")
    found.add_argument("--api-key", default=os.environ.get("VLLM_API_KEY"), help="VLLM_API_KEY by default, as in vLLM")
    found.add_argument(
        "--tokens-per-second", type=float, default=60.0, help="a stream's pace; 0 is as fast as possible"
    )
    found.add_argument("--first-token-ms", type=float, default=120.0)
    found.add_argument("--output-tokens", type=int, default=96, help="length of an answer that nobody limits")
    found.add_argument("--max-model-len", type=int, default=32_768)
    found.add_argument("--reasoning-tokens", type=int, default=0, help="every chat answer thinks first, so long")
    found.add_argument("--cached-fraction", type=float, help="share of each prompt that is reported as cached")
    found.add_argument("--embedding-dimensions", type=int, default=384)
    found.add_argument("--journal", metavar="FILE", help="append what happens, see gateway/simulated_engine/journal.py")
    found.add_argument("--fault", action="append", default=[], metavar="KEY=VALUE", dest="faults", help="see faults.py")
    found.add_argument("--fault-rate", type=float, default=1.0, help="share of the requests that --fault applies to")
    return found


def config_of(options: argparse.Namespace) -> Config:
    """The settings of a parsed command line.  Raises faults.UnusableFault."""
    wrong = faults.parse_pairs(options.faults)
    faults.make(wrong)
    settings = {
        name: value for name, value in vars(options).items() if name not in ("host", "port", "models", "faults")
    }
    return Config(models=dict(options.models), faults=wrong, **settings)


async def serve(config: Config, host: str, port: int) -> None:
    """Listen, say where, and stay until a signal; then end what runs."""
    loop = asyncio.get_running_loop()
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))  # a load test opens thousands of connections
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    engine = Engine(config, loop)
    server = await loop.create_server(lambda: Connection(engine, handle), host, port, backlog=BACKLOG)
    sys.stdout.write(f"listening on http://{host}:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await stopped.wait()
    server.close()
    engine.interrupt_all()
    await asyncio.sleep(0.05)


def main() -> None:
    """Run the command."""
    arguments = parser()
    options = arguments.parse_args()
    try:
        config = config_of(options)
    except faults.UnusableFault as error:
        arguments.error(str(error))
    uvloop.run(serve(config, options.host, options.port))


if __name__ == "__main__":
    main()
