"""Every server that is met over TLS: our own addresses, providers, engines and collectors."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings

from gateway.pools.models import Replica
from identity.certificates import Server, UsedFor
from identity.models import LogExport, ProviderVersion
from identity.oidc_discovery import is_of_the_house

_HTTPS = 443


def tls_servers() -> Iterator[Server]:
    """Each, the installation's own first; the same one may come twice. Three queries."""
    for url in (settings.PUBLIC_URL, settings.OPERATOR_URL):
        yield from _of(url, UsedFor.PUBLIC, allow_private=True)
    for url in Replica.objects.order_by("pk").values_list("url", flat=True):
        yield from _of(url, UsedFor.ENGINE, allow_private=True)
    for protocol, address in LogExport.objects.order_by("pk").values_list("protocol", "address"):
        url = f"https://{address}" if protocol == LogExport.Protocol.SYSLOG_TLS else address
        yield from _of(url, UsedFor.COLLECTOR, allow_private=True)
    versions = ProviderVersion.objects.filter(state=ProviderVersion.State.ACTIVE)
    for url in versions.order_by("provider__audience", "pk").values_list("issuer", flat=True):
        yield from _of(url, UsedFor.PROVIDER, allow_private=is_of_the_house(url))


def _of(url: str, used_for: UsedFor, *, allow_private: bool) -> Iterator[Server]:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        yield Server(parts.hostname, parts.port or _HTTPS, used_for, allow_private)
