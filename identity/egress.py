"""The one way out: every HTTP request that the product makes, other than the relay's to engines, goes through `fetch`.

Addresses come from people (an identity provider, a webhook), so this must not become a hand into the operator's
network:
the name is resolved once, every address it has is checked, and the connection goes to a checked address, so that a name
that changes its mind between check and use gains nothing. Redirects are not followed. What the answer is worth, its
status included, the caller decides.

EgressError
├── UrlRefused        not http(s), no host, credentials or odd characters in it
├── AddressRefused    the name leads into a network that the caller did not allow
├── Unreachable       no such name, no connection, or the connection broke
│   ├── NoMachine     nobody took or refused a connection: the machine is off, or a firewall swallows it
│   └── TlsRefused    the server could not prove its name
├── TimedOut          the whole exchange took too long
└── AnswerTooLarge    more bytes than the caller wants
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from urllib3 import HTTPHeaderDict
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse

Address = IPv4Address | IPv6Address

CONNECT_SECONDS = 5.0  # a host that answers at all does so within this, once round the world and a lost packet included
TOTAL_SECONDS = 15.0  # what a person waits for at most, and less than a job's time limit
RESPONSE_BYTES_MAX = 1024 * 1024  # a provider's key set or a webhook's receipt is a few KB
URL_LENGTH_MAX = 2_048
_READ_BYTES = 64 * 1024
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = IPv6Network("64:ff9b::/96")

# getaddrinfo knows no time-out: it waits in a thread of its own. Few, as a resolver that hangs should not cost us more.
_resolvers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="egress-resolver")


class EgressError(Exception):
    """Base of all that can go wrong; the message is for people and has no secret of the request in it."""


class UrlRefused(EgressError):
    """The address is none that we go to."""


class AddressRefused(EgressError):
    """The name leads into a network that the caller did not allow."""


class Unreachable(EgressError):
    """No such name, no connection, or it broke."""


class NoMachine(Unreachable):
    """Nobody took or refused a connection in CONNECT_SECONDS."""


class TlsRefused(Unreachable):
    """The server could not prove its name, or speaks no TLS that we accept."""


class TimedOut(EgressError):
    """The whole exchange took too long."""


class AnswerTooLarge(EgressError):
    """More bytes than the caller wants."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever the status; `headers` finds names in any case."""

    status: int
    headers: HTTPHeaderDict
    body: bytes


def fetch(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    allow_private: bool = False,
    total_seconds: float = TOTAL_SECONDS,
    response_bytes_max: int = RESPONSE_BYTES_MAX,
    trusted: str = "",
) -> Answer:
    """One HTTP/1.1 request, one answer, no redirect, no proxy, no cookie, no decompression.

    allow_private: also private and loopback addresses, for engines that the operator registered
    trusted: the only certificates (PEM) that may vouch for the server; "": those that this machine trusts
    total_seconds: from resolving the name to the last byte
    Raises `EgressError`, and ValueError for a header that could be taken for two.
    """
    target = _parsed(url)
    deadline = time.monotonic() + total_seconds
    addresses = _resolve(target, deadline)
    for address in addresses:
        _check(address, allow_private=allow_private)
    with _time_limit(deadline) as limit:
        connection = HTTPConnection(str(target.hostname), _port_of(target))
        connection.sock = _connected(target, addresses, limit, trusted if target.scheme == "https" else None)
        try:
            sent = _headers(target) | dict(headers or {})
            connection.request(method, _path(target), body=body, headers=sent, preload_content=False)
            with closing(
                connection.getresponse()
            ) as response:  # it holds the socket open where it was not read to its end
                return _read(response, response_bytes_max, limit)
        except (HTTPError, HTTPException, OSError) as error:
            raise limit.explain(error) from error
        finally:
            connection.close()


def deliver(address: str, data: bytes, *, trusted: str | None, total_seconds: float = TOTAL_SECONDS) -> None:
    """Send bytes over a connection of their own to `host:port`, which the operator chose, so it may be private.

    trusted: as for `fetch`; None: without TLS
    Where the protocol has no receipts (syslog), an orderly end is one: we end the connection, and the receiver ends it
    too once it has read everything. Raises `EgressError`, also where the receiver ended first.
    """
    target = _parsed(f"https://{address}")
    deadline = time.monotonic() + total_seconds
    addresses = _resolve(target, deadline)
    for one in addresses:
        _check(one, allow_private=True)
    with _time_limit(deadline) as limit:
        connected = _connected(target, addresses, limit, trusted)
        try:
            connected.sendall(data)
            _end_in_order(connected, limit)
        except OSError as error:
            raise limit.explain(error) from error
        finally:
            connected.close()


def certificate_of(host: str, port: int, *, allow_private: bool, total_seconds: float = CONNECT_SECONDS) -> bytes:
    """The certificate (DER) that a server shows, whoever vouches for it: to be read, not to be trusted.

    Nothing is sent but TLS's own greeting. Raises `EgressError`.
    """
    target = _parsed(f"https://{f'[{host}]' if ':' in host else host}:{port}")
    deadline = time.monotonic() + total_seconds
    addresses = _resolve(target, deadline)
    for address in addresses:
        _check(address, allow_private=allow_private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with _time_limit(deadline) as limit, _connected(target, addresses, limit, None) as connected:
        try:
            with context.wrap_socket(connected, server_hostname=host) as shown:
                return shown.getpeercert(binary_form=True) or b""
        except OSError as error:
            raise limit.explain(error) from error


def place_of(url: str) -> tuple[str, int]:
    """The host and port of an address that we would go to. Raises `UrlRefused`."""
    target = _parsed(url)
    return str(target.hostname), _port_of(target)


def is_public(address: Address) -> bool:
    """Whether the address is one of the public Internet, also looking into IPv6 addresses that carry an IPv4 one."""
    if isinstance(address, IPv6Address):
        carried = _carried(address)
        if carried is not None:
            return is_public(carried)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def addresses_of(names: Iterable[str], *, seconds: float) -> dict[str, list[Address]]:
    """The addresses of each name or address, looked up side by side; none for what is not known in time."""
    lookups = {name: _resolvers.submit(socket.getaddrinfo, name, None, type=socket.SOCK_STREAM) for name in names}
    wait(lookups.values(), timeout=seconds)
    found: dict[str, list[Address]] = {}
    for name, lookup in lookups.items():
        lookup.cancel()
        known = lookup.done() and not lookup.cancelled() and lookup.exception() is None
        found[name] = _addresses(lookup.result()) if known else []
    return found


class _Limit:
    """Ends the exchange at its deadline by shutting the socket down under whoever reads or writes it.

    Time-outs of the socket alone would not do: they begin anew with every byte that a slow server sends.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._end)
        self._timer.daemon = True
        self._timer.start()

    def seconds_left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimedOut("the whole exchange took too long")
        return left

    def watch(self, connected: socket.socket) -> None:
        # A second handle on the same connection: it stays valid when TLS takes the first one over.
        if self._socket is not None:
            self._socket.close()
        self._socket = connected.dup()

    def explain(self, error: Exception) -> EgressError:
        if isinstance(error, EgressError):
            return error
        if time.monotonic() >= self.deadline or isinstance(error, TimeoutError):
            return TimedOut("the whole exchange took too long")
        if isinstance(error, ssl.SSLError):
            return TlsRefused(f"TLS failed: {error.reason or type(error).__name__}")
        if isinstance(error, ConnectionRefusedError):
            return Unreachable("nothing listens at this address and port")
        return Unreachable(f"the connection broke: {type(error).__name__}")

    def stop(self) -> None:
        self._timer.cancel()
        if self._socket is not None:
            self._socket.close()

    def _end(self) -> None:
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it was over already


@contextmanager
def _time_limit(deadline: float) -> Iterator[_Limit]:
    limit = _Limit(deadline)
    try:
        yield limit
    finally:
        limit.stop()


def _parsed(url: str) -> SplitResult:
    if len(url) > URL_LENGTH_MAX or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise UrlRefused("the address is too long or has characters that do not belong in one")
    try:
        target = urlsplit(url)
        port = target.port
    except ValueError:
        raise UrlRefused("the address cannot be read") from None
    if target.scheme not in _DEFAULT_PORTS or not target.hostname or port == 0:
        raise UrlRefused("the address must look like https://host/path")
    if target.username is not None or target.password is not None:
        raise UrlRefused("the address must not hold credentials")
    return target


def _resolve(target: SplitResult, deadline: float) -> list[Address]:
    """All addresses of the host, in the resolver's order."""
    lookup = _resolvers.submit(socket.getaddrinfo, target.hostname, None, type=socket.SOCK_STREAM)
    try:
        found = lookup.result(timeout=max(0.0, min(CONNECT_SECONDS, deadline - time.monotonic())))
    except TimeoutError:
        lookup.cancel()
        raise TimedOut("the name could not be resolved in time") from None
    except (OSError, UnicodeError):
        raise Unreachable("there is no such name") from None
    return _addresses(found)


def _addresses(found: Iterable[tuple[Any, ...]]) -> list[Address]:
    """What a look-up found, each once; a zone ("fe80::1%eth0") is of link-local ones, refused without it too."""
    return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


def _check(address: Address, *, allow_private: bool) -> None:
    """Also with `allow_private` no link-local address: clouds hand out credentials on one, engines live on none."""
    if is_public(address):
        return
    inner = (_carried(address) if isinstance(address, IPv6Address) else None) or address
    nowhere = inner == IPv4Address("255.255.255.255") or inner.is_unspecified or inner.is_multicast
    if not allow_private or inner.is_link_local or nowhere:
        raise AddressRefused("the name leads into a network that is not allowed here")


def _carried(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for: mapped, 6to4, Teredo or NAT64."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


def _port_of(target: SplitResult) -> int:
    return target.port or _DEFAULT_PORTS[target.scheme]


def _connected(target: SplitResult, addresses: list[Address], limit: _Limit, trusted: str | None) -> socket.socket:
    """Connected to the first address that takes a connection. `trusted` None: without TLS."""
    failure: Exception = OSError("no address")
    for address in addresses:
        connected = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6)
        try:
            connected.settimeout(min(CONNECT_SECONDS, left := limit.seconds_left()))
            connected.connect((str(address), _port_of(target)))
        except (OSError, TimedOut) as error:
            connected.close()
            is_silent = isinstance(error, TimeoutError) and left > CONNECT_SECONDS  # it had all the time it needs
            failure = NoMachine("no machine answers at this address") if is_silent else error
        else:
            limit.watch(connected)
            connected.settimeout(limit.seconds_left())
            return connected if trusted is None else _proven(connected, str(target.hostname), limit, trusted)
    raise limit.explain(failure) from failure


def _proven(connected: socket.socket, name: str, limit: _Limit, trusted: str) -> socket.socket:
    """TLS over the connection, once the server has proved that it has the name."""
    try:
        context = ssl.create_default_context(cadata=trusted or None)
        return context.wrap_socket(connected, server_hostname=name)
    except OSError as error:
        connected.close()
        raise limit.explain(error) from error


def _end_in_order(connected: socket.socket, limit: _Limit) -> None:
    """Say that this was all, and wait until the receiver says so too."""
    connected.settimeout(0.0)
    try:
        if not connected.recv(1):
            raise Unreachable("the receiver ended the connection before it had everything")
    except (ssl.SSLWantReadError, BlockingIOError):
        pass
    connected.settimeout(limit.seconds_left())
    if isinstance(connected, ssl.SSLSocket):
        try:
            connected.unwrap().close()
        except ssl.SSLEOFError:  # it ended the connection without a word of TLS: some do
            return
        return
    connected.shutdown(socket.SHUT_WR)
    while connected.recv(_READ_BYTES):
        limit.seconds_left()


def _path(target: SplitResult) -> str:
    return (target.path or "/") + (f"?{target.query}" if target.query else "")


def _headers(target: SplitResult) -> dict[str, str]:
    return {
        "Host": target.netloc,
        "User-Agent": "beffroi",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


def _read(response: HTTPResponse, bytes_max: int, limit: _Limit) -> Answer:
    parts: list[bytes] = []
    size = 0
    while part := response.read1(_READ_BYTES, decode_content=False):
        parts.append(part)
        size += len(part)
        if size > bytes_max:
            raise AnswerTooLarge(f"the answer has more than {bytes_max} bytes")
        limit.seconds_left()
    limit.seconds_left()
    return Answer(response.status, response.headers, b"".join(parts))
