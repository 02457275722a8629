"""Every connection that this installation can make of itself (S6): what for, where to, by which process, set by whom.

There is no other. `tests/architecture/test_connections.py` ties each module of ours that can connect to a line of this
list; `tests/journeys/test_connections.py` watches an installation at work and finds each of its connections here.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from psycopg.conninfo import conninfo_to_dict

from console import env
from gateway.pools.fleet.broker import is_rabbitmq
from gateway.pools.fleet.rabbitmq_users import management
from gateway.pools.models import Replica
from identity import oidc_discovery
from identity.egress import Address, addresses_of, is_public
from identity.models import LogExport, ProviderVersion, Webhook

_PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671, "sentinel": 26379}
_POSTGRES_PORT, _NAMES_PORT = 5432, 53
_RESOLVERS = Path("/etc/resolv.conf")
# What is fetched when `make up` finds something missing; both can be led to a mirror in the house.
_PACKAGES = (("PIP_INDEX_URL", "https://pypi.org"), ("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org"))
_PYTHON_FILES = "https://files.pythonhosted.org"  # where PyPI's own index leads


class Kind(StrEnum):
    """What a connection is for."""

    DATABASE = "database"
    BROKER = "broker"
    GATEWAYS = "gateways"
    ENGINES = "engines"
    WEIGHTS = "weights"
    MEDIA = "media"
    PROVIDERS = "providers"
    MAIL = "mail"
    WEBHOOKS = "webhooks"
    EXPORTS = "exports"
    PUBLIC_ADDRESS = "public_address"
    NAMES = "names"
    PACKAGES = "packages"


class Place(StrEnum):
    """MACHINE this one; INSIDE a private address; OUTSIDE a public one; UNKNOWN the name leads nowhere now."""

    MACHINE = "machine"
    INSIDE = "inside"
    OUTSIDE = "outside"
    UNKNOWN = "nowhere"


@dataclass(frozen=True, slots=True)
class Destination:
    """A host and port, or (port 0) the path of a socket on this machine. `whose`: who entered it, where many do."""

    host: str
    port: int
    whose: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host


@dataclass(frozen=True, slots=True)
class Connection:
    """A line of the list. Without destinations it is not made as things stand. `set_by`: whose page, or the variables
    of the environment.
    """

    kind: Kind
    title: Promise
    purpose: Promise
    made_by: Promise
    set_by: Promise | str
    destinations: tuple[Destination, ...]


def connections() -> list[Connection]:
    """All of them. Four queries; asks nobody, so a provider's further hosts are those that were met already."""
    return [
        *_own_servers(),
        Connection(
            Kind.ENGINES,
            _("Engines"),
            _("Inference, probes, and the counters that charges are compared with."),
            _("gateways, Django, worker"),
            _("the operator, under Models"),
            _of_urls((url, "") for url in Replica.objects.order_by("url").values_list("url", flat=True)),
        ),
        Connection(
            Kind.WEIGHTS,
            _("Weights"),
            _("Models' files, from the mirror or from Hugging Face, as their pool says."),
            _("agents of nodes"),
            _("the operator, under Pools"),
            (),
        ),
        _media(),
        _providers(),
        _mail(),
        _webhooks(),
        _exports(),
        *_this_machine(),
    ]


def places_of(lines: Iterable[Connection], *, seconds: float) -> dict[str, Place]:
    """Where each host of the lines is, by its name. Looks names up, for so long at most."""
    hosts = {one.host for line in lines for one in line.destinations}
    found = addresses_of(sorted(host for host in hosts if not host.startswith("/")), seconds=seconds)
    return {host: Place.MACHINE if host.startswith("/") else _place(found[host]) for host in hosts}


def _place(addresses: list[Address]) -> Place:
    if not addresses:
        return Place.UNKNOWN
    if all(address.is_loopback for address in addresses):
        return Place.MACHINE
    return Place.OUTSIDE if any(map(is_public, addresses)) else Place.INSIDE


def _own_servers() -> list[Connection]:
    return [
        Connection(
            Kind.DATABASE,
            _("Database"),
            _("All that is kept: PostgreSQL."),
            _("gateways, Django, worker, commands"),
            "DATABASE_URL, DATABASE_OWNER_URL, DATABASE_GATEWAY_URL",
            _databases(),
        ),
        Connection(
            Kind.BROKER,
            _("Broker"),
            _("What Django asks the worker to do, and what nodes are told: Valkey, Redis or RabbitMQ."),
            _("Django, worker"),
            "VALKEY_URL, RABBITMQ_MANAGEMENT_URL",
            _of_urls((url, "") for url in _broker()),
        ),
        Connection(
            Kind.GATEWAYS,
            _("Own gateways"),
            _("“Try it”, and the probes of published models: as any client calls them."),
            _("Django, worker"),
            "BEFFROI_GATEWAY_URL, BEFFROI_PORT",
            _of_urls([(settings.GATEWAY_URL, "")]),
        ),
    ]


def _broker() -> list[str]:
    """Its addresses; RabbitMQ makes users of nodes by another one."""
    return [*settings.VALKEY_URL.split(";"), *([management()[0]] if is_rabbitmq() else [])]


def _databases() -> tuple[Destination, ...]:
    """The servers of the three logins; several hosts of one are a list in its address."""
    default = settings.DATABASES["default"]
    parts = [(str(default["HOST"]), str(default["PORT"]))]
    for name in ("DATABASE_OWNER_URL", "DATABASE_GATEWAY_URL"):
        if url := env.secret_in(os.environ, name):
            told = conninfo_to_dict(url)
            parts.append((str(told.get("hostaddr") or told.get("host") or ""), str(told.get("port") or "")))
    found = []
    for hosts, port in parts:
        for host in (hosts or "localhost").split(","):
            first_port = port.partition(",")[0]
            found.append(Destination(host, 0 if host.startswith("/") else int(first_port or _POSTGRES_PORT)))
    return _once(found)


def _media() -> Connection:
    hosts = [host.strip().lower() for host in env.words("BEFFROI_MEDIA_HOSTS")]
    return Connection(
        Kind.MEDIA,
        _("Images and sounds of requests"),
        _("What a request names by its address. Other hosts are refused, and Beffroi itself fetches none."),
        _("engines"),
        "BEFFROI_MEDIA_HOSTS",
        tuple(Destination(host, _PORTS["https"]) for host in hosts),
    )


def _providers() -> Connection:
    rows = ProviderVersion.objects.exclude(state=ProviderVersion.State.OFF).select_related("provider")
    urls = []
    for version in rows.order_by("provider__audience", "pk"):
        urls.append((version.issuer, version.provider.name))
        told = oidc_discovery.known(version.issuer)
        if told is not None:
            endpoints = (told.token_endpoint, told.jwks_uri, told.userinfo_endpoint)
            urls += [(url, version.provider.name) for url in endpoints if url]
    return Connection(
        Kind.PROVIDERS,
        _("Identity providers"),
        _("Sign-in: their metadata, keys and tokens, also at the hosts that their metadata names."),
        _("Django, worker"),
        _("the operator; organisations, each its own"),
        _of_urls(urls),
    )


def _mail() -> Connection:
    servers = (Destination(settings.EMAIL_HOST, settings.EMAIL_PORT),) if settings.MAIL_IS_SET_UP else ()
    return Connection(
        Kind.MAIL,
        _("Mail server"),
        _("Notices and invitations."),
        _("Django, worker"),
        "BEFFROI_MAIL_URL",
        servers,
    )


def _webhooks() -> Connection:
    rows = Webhook.objects.filter(status=Webhook.Status.ACTIVE).order_by("tenant__name", "pk")
    return Connection(
        Kind.WEBHOOKS,
        _("Webhooks"),
        _("Notices that an organisation wants to have posted, signed."),
        _("Django, worker"),
        _("organisations"),
        _of_urls(rows.values_list("url", "tenant__name")),
    )


def _exports() -> Connection:
    rows = LogExport.objects.order_by("pk").values_list("protocol", "address", "name")
    urls = [
        (address if protocol == LogExport.Protocol.OTLP else f"//{address}", name) for protocol, address, name in rows
    ]
    return Connection(
        Kind.EXPORTS,
        _("Collectors"),
        _("A copy of every audit event, or of what the processes log."),
        _("Django, worker"),
        _("the operator, under Settings, Export"),
        _of_urls(urls),
    )


def _this_machine() -> list[Connection]:
    downloads = [(env.text(name, usual), "") for name, usual in _PACKAGES]
    if downloads[0][0] == _PACKAGES[0][1]:
        downloads.insert(1, (_PYTHON_FILES, ""))
    return [
        Connection(
            Kind.PUBLIC_ADDRESS,
            _("Own public address"),
            _("Does the address that people use lead here, and until when is its certificate valid?"),
            _("Django, worker"),
            "BEFFROI_PUBLIC_URL",
            _of_urls([(settings.PUBLIC_URL, ""), (settings.OPERATOR_URL, "")]),
        ),
        Connection(
            Kind.NAMES,
            _("Name servers"),
            _("The addresses of the names above."),
            _("gateways, Django, worker"),
            "/etc/resolv.conf",
            _name_servers(),
        ),
        Connection(
            Kind.PACKAGES,
            _("Packages"),
            _("Python's and the pages' packages, where one is missing; never while Beffroi runs."),
            _("make up, before anything starts"),
            "PIP_INDEX_URL, NPM_CONFIG_REGISTRY",
            _of_urls(downloads),
        ),
    ]


def _name_servers() -> tuple[Destination, ...]:
    try:
        lines = _RESOLVERS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    words = [line.split() for line in lines]
    return tuple(Destination(line[1], _NAMES_PORT) for line in words if line[:1] == ["nameserver"] and len(line) > 1)


def _of_urls(urls: Iterable[tuple[str, str]]) -> tuple[Destination, ...]:
    """The hosts and ports of addresses, each once, with all who entered it."""
    found: dict[tuple[str, int], list[str]] = {}
    for url, whose in urls:
        parts = urlsplit(url)
        place = (parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)) if parts.hostname else (parts.path, 0)
        found.setdefault(place, []).append(whose)
    return tuple(Destination(*place, ", ".join(dict.fromkeys(filter(None, names)))) for place, names in found.items())


def _once(found: Iterable[Destination]) -> tuple[Destination, ...]:
    return tuple(dict.fromkeys(found))
