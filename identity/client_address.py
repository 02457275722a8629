"""Which address a request comes from. Pure: the relay and Django's side must agree, as keys may be tied to addresses.

`X-Forwarded-For` is whatever its sender wrote, so only what a trusted proxy appended counts: read from the right, each
entry was written by the hop to its right, and the first one that is no trusted proxy is the client. Everything left of
it is hearsay.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# More proxies than any real chain has; a longer header is an attack on our time.
MAX_HOPS = 32


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks or single addresses ("10.0.0.0/8", "::1"). Raises ValueError for anything else, host bits included."""
    return tuple(ip_network(text.strip()) for text in texts if text.strip())


def parse_address(text: str) -> Address | None:
    """An address, with or without a port ("192.0.2.1:443", "[2001:db8::1]:443"); None for garbage. ::ffff:a.b.c.d is
    a.b.c.d.
    """
    text = text.strip()
    if text.startswith("["):
        text, closed, _ = text[1:].partition("]")
        if not closed:
            return None
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def address_is_in(address: Address, networks: Iterable[Network]) -> bool:
    """Whether the address lies in one of the networks (an IPv4 address lies in no IPv6 network)."""
    return any(address in network for network in networks)


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> Address | None:
    """The client's address; None where it cannot be told, which satisfies no key that is tied to addresses.

    peer: the socket's other end; None for a Unix socket, behind which is always a proxy of ours
    forwarded_for: the values of all X-Forwarded-For headers, in their order
    trusted: the proxies whose word counts (BEFFROI_TRUSTED_PROXIES)
    """
    address = parse_address(peer) if peer is not None else None
    if peer is not None and (address is None or not address_is_in(address, trusted)):
        return address
    if not forwarded_for:
        return address
    hops = ",".join(forwarded_for).rsplit(",", MAX_HOPS)
    if len(hops) > MAX_HOPS:
        hops = hops[1:]
    for hop in reversed(hops):
        address = parse_address(hop)
        if address is None or not address_is_in(address, trusted):
            return address
    return address
