"""Looking at an engine before it is registered: which models it serves, of which kind, and whether it can be billed."""

from dataclasses import dataclass

from gateway.pools.probes import Engine, NotReady, check_engine, kind_of, prompt_tokens_of_one_word, served_models
from gateway.pools.registry import engine_address
from models_catalog.models import LanguageModel

LOOKED_AT_MAX = 8  # models of one engine, each of which is asked


@dataclass(frozen=True, slots=True)
class Served:
    """A model that an engine serves, by the engine's name for it. `context_window` (tokens) None: it does not say.

    kind: "" where no kind of request is answered with a usage; then `trouble` says why
    template_tokens: what the template adds to a chat of one word; None for another kind
    """

    name: str
    context_window: int | None
    kind: str
    trouble: str = ""
    template_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """An engine that answered: where it is (`http://host:port`), and what it serves."""

    url: str
    served: list[Served]


def look_at_engine(address: str, api_key: str = "") -> Look:
    """Ask the engine what it serves and try each model. Some tokens are used, which nobody pays.

    address: `http://[:KEY@]host:port[/v1]`
    Raises `Invalid` for an address that makes no sense, `NotReady` (in words) where the engine does not answer.
    """
    url, own_key = engine_address(address)
    engine = Engine(url, api_key or own_key)
    windows = served_models(engine)
    return Look(url, [_tried(engine, name, windows[name]) for name in sorted(windows)[:LOOKED_AT_MAX]])


def check_served(address: str, api_key: str, served_name: str, kind: str) -> int | None:
    """The window that the engine gives the model. Raises as `look_at_engine`; `NotReady` where it is of no use."""
    url, own_key = engine_address(address)
    return check_engine(Engine(url, api_key or own_key), served_name, kind)


def _tried(engine: Engine, name: str, window: int | None) -> Served:
    try:
        kind = kind_of(engine, name)
        is_chat = kind == LanguageModel.Kind.CHAT
        template = prompt_tokens_of_one_word(engine, name) if is_chat else None
    except NotReady as error:
        return Served(name, window, "", trouble=_chat_trouble(engine, name) or error.reason)
    return Served(name, window, kind, template_tokens=template)


def _chat_trouble(engine: Engine, name: str) -> str:
    """What is wrong with it as a chat model, which most are: more to the point than that it is nothing at all."""
    try:
        check_engine(engine, name, LanguageModel.Kind.CHAT)
    except NotReady as error:
        return error.reason
    return ""
