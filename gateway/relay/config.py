"""What a gateway process is told by its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.relay.limits import Limits, limits_from_environment
from identity.client_address import Network, parse_networks
from identity.keyring import Keyring, keyring_in
from identity.origins import own_host
from identity.secret_box import SecretBox


@dataclass(frozen=True, slots=True)
class Config:
    """The gateway role's database, where Django listens, the secrets of keys and engines, and whom to believe.

    `operator_host`: where the operator's console is bound to, in small letters; no inference there. Empty: to none.
    `metrics_folder`: where the process leaves its counts for `/metrics`; None: nowhere.
    """

    database_url: str
    django_socket: str
    peppers: Keyring
    secret_box: SecretBox
    trusted_proxies: tuple[Network, ...]
    media_hosts: frozenset[str]
    limits: Limits
    operator_host: bytes = b""
    metrics_folder: Path | None = None


def config_from_environment(environment: Mapping[str, str] = os.environ) -> Config:
    """Read the environment; raises ValueError that names the variable which is missing or wrong."""

    def required(name: str) -> str:
        value = environment.get(name, "")
        if not value:
            raise ValueError(f"{name} is not set")
        return value

    return Config(
        database_url=environment.get("DATABASE_GATEWAY_URL") or required("DATABASE_URL"),
        django_socket=required("BEFFROI_DJANGO_SOCKET"),
        peppers=keyring_in(environment, "BEFFROI_KEY_PEPPERS"),
        secret_box=SecretBox(keyring_in(environment, "BEFFROI_ENCRYPTION_KEYS")),
        trusted_proxies=parse_networks(environment.get("BEFFROI_TRUSTED_PROXIES", "").split(",")),
        media_hosts=frozenset(
            filter(None, environment.get("BEFFROI_MEDIA_HOSTS", "").lower().replace(" ", "").split(","))
        ),
        limits=limits_from_environment(environment),
        operator_host=own_host(
            environment.get("BEFFROI_OPERATOR_URL", ""), environment.get("BEFFROI_PUBLIC_URL", "")
        ).encode(),
        metrics_folder=Path(folder) if (folder := environment.get("BEFFROI_METRICS_FOLDER")) else None,
    )
