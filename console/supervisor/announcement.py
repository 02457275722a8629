"""What a start leaves for people and for scripts: the text at the end, and $BEFFROI_HOME/demo.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from console.supervisor.home import Home, write_json


@dataclass(frozen=True)
class Demo:
    """What `seed_demo` made: a key, sign-in links that work once (the owner's first), the models to try.

    In an empty installation only the first operator's link, from `set_up`. `has_past`: usage is there already.
    """

    api_key: str = ""
    login_urls: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    has_past: bool = True


def read_demo(answer: str, last_key: str) -> Demo:
    """From the JSON that `seed_demo` or `set_up` printed; a key made on an earlier start is only known from then."""
    content = json.loads(answer)
    return Demo(
        content.get("api_key") or last_key, content["login_urls"], content["models"], content.get("has_past", True)
    )


def demo_json(address: str, demo: Demo, pids: Mapping[str, Any]) -> dict[str, Any]:
    """The content of demo.json. `base_url` is what an OpenAI client is given."""
    return {
        "base_url": f"{address}/v1",
        "api_key": demo.api_key,
        "console_url": f"{address}/",
        "login_url": next(iter(demo.login_urls.values()), ""),
        "login_urls": dict(demo.login_urls),
        "models": dict(demo.models),
        "pids": dict(pids),
    }


def hide_last(home: Home) -> str:
    """Take demo.json away until all is ready. Returns: the API key that was in it, empty if there was none."""
    if home.demo_file.exists():
        home.demo_file.replace(home.last_demo_file)
    try:
        return str(json.loads(home.last_demo_file.read_text())["api_key"])
    except (OSError, ValueError, KeyError):
        return ""


def publish(home: Home, content: Mapping[str, Any]) -> None:
    """Write demo.json in one step, readable by us alone."""
    write_json(home.demo_file, content)


def welcome(address: str, demo: Demo) -> str:
    """The text for the terminal, with commands that can be copied as they are."""
    return "\n".join(["", f"Beffroi is ready at {address}", *_links(demo), *_calls(address, demo), ""])


def _links(demo: Demo) -> list[str]:
    if not demo.login_urls:
        return []
    width = max(len(role) for role in demo.login_urls)
    return [
        "",
        "Sign in (each link works once; the next start makes new ones):",
        *(f"  {role:<{width}}  {url}" for role, url in demo.login_urls.items()),
    ]


def _calls(address: str, demo: Demo) -> list[str]:
    """What is to be pasted begins in the first column: Python takes no indented first line."""
    if not demo.api_key or "chat" not in demo.models:
        return []
    body = json.dumps(
        {"model": demo.models["chat"], "stream": True, "messages": [{"role": "user", "content": "Hello!"}]}
    )
    return [
        "",
        f"API key  {demo.api_key}",
        "",
        "From the command line:",
        f"curl -N {address}/v1/chat/completions -H 'Authorization: Bearer {demo.api_key}' \\",
        f"  -H 'Content-Type: application/json' -d '{body}'",
        "",
        "From Python (python3 -m venv v && v/bin/pip install openai && v/bin/python):",
        "from openai import OpenAI",
        f'client = OpenAI(base_url="{address}/v1", api_key="{demo.api_key}")',
        'hello = [{"role": "user", "content": "Hello!"}]',
        f'for chunk in client.chat.completions.create(model="{demo.models["chat"]}", messages=hello, stream=True):',
        '    print(chunk.choices[0].delta.content or "", end="", flush=True)',
        "",
        "What it cost, in nano-EUR (1,000,000,000 are a euro):",
        f"curl -s '{address}/api/usage/records?limit=1' -H 'Authorization: Bearer {demo.api_key}' \\",
        "  | python3 -m json.tool",
        "",
        f"All that the API can do: {address}/api/docs",
    ]
