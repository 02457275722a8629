"""Origins (scheme, host and port) as a `Host` header names them. No Django: the gateways ask too."""

from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def host_of(url: str) -> str:
    """Host and port of an address, the port only where it is not the scheme's own; "" for none."""
    parts = urlsplit(url.strip())
    if not parts.hostname:
        return ""
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return name if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{name}:{parts.port}"


def own_host(operator_url: str, public_url: str) -> str:
    """The host of the operator's console alone; "" where it shares the public one."""
    host = host_of(operator_url)
    return "" if host == host_of(public_url) else host
