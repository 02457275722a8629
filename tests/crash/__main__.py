"""`python -m tests.crash --minutes N [--seed S] [--rounds N]`: a campaign; its exit status is 1 on any violation."""

import argparse
import asyncio
import os
import secrets
import sys

import django

LONG_FORM_MINUTES = 5


def main() -> int:
    """Run a campaign and say what it found."""
    arguments = _arguments()
    from tests.support import servers  # it makes the environment that Django's settings read

    assert os.environ["BEFFROI_HOME"] == str(servers.servers.folder)
    django.setup()
    from tests.crash import real_limits
    from tests.crash.campaign import Campaign
    from tests.crash.report import lines
    from tests.crash.world import World

    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    print(f"seed {seed} (--seed {seed} makes the same choices)", flush=True)

    def tell(line: str) -> None:
        print(line, flush=True)

    with World() as world:
        result = asyncio.run(Campaign(world, seed, tell).run(arguments.minutes * 60, arguments.rounds))
    if arguments.minutes >= LONG_FORM_MINUTES:
        with World(limits="", has_pages=False) as world:
            result.violations += asyncio.run(real_limits.run(world, tell))
    print("\n".join(["", *lines(result)]), flush=True)
    never = [point for point, hits in result.hits.items() if not hits]
    return 1 if result.violations or (never and arguments.rounds is None) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description="The crash campaign.")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, help="of an earlier campaign, to make its choices again")
    parser.add_argument("--rounds", type=int, help="at most so many")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
